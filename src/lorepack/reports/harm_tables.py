"""Outside tasks as tables of text: value, difference to the base and its interval, test, shots."""

from __future__ import annotations

from dataclasses import dataclass

from lorepack.reports import figures as fig
from lorepack.reports.harm_file import AdapterScore, Harm, Metric, Score, Task
from lorepack.reports.tables import Table

WITHIN = 1.96
"""standard errors on either side of a 95 % interval of a normal"""
TESTS = {"mcnemar": "McNemar", "paired-bootstrap": "bootstrap", "wilcoxon": "Wilcoxon"}
LOWER_IS_BETTER = ("perplexity", "ppl", "nll", "loss", "bits_per_byte")


@dataclass(frozen=True)
class Row:
    """One metric of one task under one adapter, as the page shows it."""

    task: str
    metric: str
    adapter: str
    base: str
    value: str
    delta: str
    interval: str
    p: str
    change: str
    """``worse`` or ``better`` when the interval leaves out 0, else ``same``"""
    place: tuple[float, float, float] | None
    """low, delta and high as percent of the drawing's width"""


def rows(harm: Harm) -> tuple[Row, ...]:
    """Every metric of every task under every adapter, in the file's sorted order."""
    reach = _reach(harm)
    return tuple(
        _row(task, name, adapter, found, score, reach[_unit(name, found)])
        for task, asked in sorted(harm.tasks.items())
        for name, found in sorted(asked.metrics.items())
        for adapter, score in sorted(found.adapters.items())
    )


def _unit(name: str, metric: Metric) -> str:
    """Metrics of one unit are drawn to one scale: shares together, every other by itself."""
    scores = (metric.base, *metric.adapters.values())
    return "share" if all(abs(score.value) <= 1 for score in scores) else name


def _reach(harm: Harm) -> dict[str, float]:
    """How far the drawing of every unit reaches on either side of 0."""
    reach: dict[str, float] = {}
    for task in harm.tasks.values():
        for name, metric in task.metrics.items():
            unit = _unit(name, metric)
            ends = [abs(x) for score in metric.adapters.values() for x in _bounds(score) or ()]
            reach[unit] = max(reach.get(unit, 0.0), *ends, 0.0)
    return {unit: most or 1.0 for unit, most in reach.items()}


def _bounds(score: AdapterScore) -> tuple[float, float] | None:
    if score.delta is None:
        return None
    width = WITHIN * (score.delta_stderr or 0.0)
    return score.delta - width, score.delta + width


def _row(
    task: str, name: str, adapter: str, metric: Metric, score: AdapterScore, reach: float
) -> Row:
    bounds, place, interval, change = _bounds(score), None, "", "same"
    if bounds is not None and score.delta is not None:
        low, high = bounds
        ends = (50 + 49 * x / reach for x in (low, score.delta, high))
        left, middle, right = (round(x, 2) for x in ends)
        place = left, middle, right
        if score.delta_stderr is not None:
            interval = f"{fig.signed(low)} to {fig.signed(high)}"
            change = _change(name, low, high)
    test = TESTS.get(score.test, score.test)
    test = f"{fig.p_value(score.p)} {test}".strip() if score.p is not None else "–"
    return Row(task, name, adapter, _score(metric.base), _score(score), fig.signed(score.delta),
               interval, test, change, place)  # fmt: skip


def _change(metric: str, low: float, high: float) -> str:
    if low <= 0 <= high:
        return "same"
    falls = any(word in metric.lower() for word in LOWER_IS_BETTER)
    return "better" if (low > 0) != falls else "worse"


def _score(score: Score) -> str:
    error = "" if score.stderr is None else f" ± {score.stderr:.3f}"
    return f"{score.value:.3f}{error}"


def asked(harm: Harm) -> Table:
    """How every task was asked: items, shots, the over-long, limit, template and filter."""
    columns = ("Task", "Items", "Shots", "Over-long", "Limit", "Template", "Filter")
    lines = tuple(
        (
            name,
            "–" if task.items is None else fig.count(task.items),
            _shots(task),
            "–" if task.overlong is None else fig.count(task.overlong),
            "all" if task.limit is None else fig.count(task.limit),
            fig.short(task.template, 40) or "–",
            fig.short(task.filter, 40) or "–",
        )
        for name, task in sorted(harm.tasks.items())
    )
    return Table("How the tasks were asked", columns, lines)


def _shots(task: Task) -> str:
    if task.shots is None:
        return "–"
    dropped = task.shots_dropped
    return f"{task.shots} of {task.shots_asked}, {dropped} dropped" if dropped else str(task.shots)


def results(harm: Harm) -> Table:
    """The figures of every task, for a card."""
    columns = ("Task", "Metric", "Base", "With the adapter", "Difference", "95 % interval", "p")
    several = len({row.adapter for row in rows(harm)}) > 1
    lines = tuple(
        (f"{row.task}, {row.adapter}" if several else row.task, row.metric, row.base, row.value,
         row.delta, row.interval or "–", row.p)
        for row in rows(harm)
    )  # fmt: skip
    return Table("Outside tasks", columns, lines)
