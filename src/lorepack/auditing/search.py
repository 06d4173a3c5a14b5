"""The frontier of reliability against harm over checkpoints and strengths, and its best point."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lorepack import lora
from lorepack.auditing.budget import BudgetSettings, Limit, Measured, choose
from lorepack.auditing.frontier import Asked, ask_each, drift_each
from lorepack.auditing.splits import Split, chosen_facts
from lorepack.auditing.strength import THIRDS, Point, around, at_strength, grid, size_of
from lorepack.facts import Fact
from lorepack.llm import LanguageModel
from lorepack.lora import AdapterSpec, Factors, Stack
from lorepack.probing import ProbeResult, label

SLOTS, BYTES = 16, 2**28
"""adapters in the stack at once, and what their factors may take; fixed rather than measured,
since a search that resumes must compute as it did before"""
STEPS = (0.5, 0.75, 1.25)
"""what the strength of one third of the layers is multiplied by"""

Adapter = tuple[AdapterSpec, Factors]
Kept = Callable[[str, Callable[[], Any]], Any]
"""``kept(name, compute)``: a JSON value that was computed before under this name, or is now"""


class Outside(Protocol):
    """Measures tasks of several adapters in one pass."""

    def __call__(
        self, lm: LanguageModel, stack: Stack, names: Sequence[str], tasks: Sequence[str], part: str
    ) -> list[dict[str, tuple[float, float]]]:
        """Of every adapter the change of each task's main metric, and its standard error."""
        ...


@dataclass(frozen=True)
class Ground:
    """What points are measured on: one part of everything."""

    lm: LanguageModel
    facts: Sequence[Fact]
    before: ProbeResult
    split: Split
    texts: Sequence[str]
    """all neutral texts; the split says which"""
    limits: tuple[Limit, ...]
    outside: Outside | None = None

    def asks(self, measure: str) -> bool:
        """Whether a measure is limited."""
        return any(limit.measure == measure for limit in self.limits)

    @property
    def tasks(self) -> list[str]:
        """The tasks that are limited."""
        return [limit.measure for limit in self.limits if limit.task]


def search(
    ground: Ground,
    adapters: Mapping[int | str, Callable[[], Adapter]],
    settings: BudgetSettings,
    kept: Kept,
    progress: Callable[[int, int], None],
) -> tuple[list[Measured], int]:
    """Measure every checkpoint at every strength on the development part, and choose.

    Where the chosen point is less reliable than the best, or none holds, the strength of one third
    of the layers after the other is varied around it; what that gives is chosen where the rule
    prefers it.

    Args:
        ground: what to measure on.
        adapters: loads the adapter of each checkpoint.
        settings: strengths, margin.
        kept: remembers what was measured before.
        progress: called with points done and points in all.

    Returns:
        All points, and the place of the chosen one; see `choose`.
    """
    points = grid(adapters, settings.strengths)
    found = _measured(ground, points, adapters, kept, progress, 0, len(points))
    best = choose(found, ground.limits, settings.margin)
    top = max(one.reliability for one in found)
    if not settings.thirds or (
        _safe(found[best], ground, settings) and found[best].reliability == top
    ):
        return found, best
    total = len(points) + len(THIRDS) * len(STEPS)
    for third in reversed(range(len(THIRDS))):
        more = around(found[best].point, third, STEPS)
        found += _measured(ground, more, adapters, kept, progress, len(found), total)
        best = choose(found, ground.limits, settings.margin)
    return found, best


def _safe(one: Measured, ground: Ground, settings: BudgetSettings) -> bool:
    return all(
        limit.holds(
            one.measures[limit.measure], settings.margin * one.errors.get(limit.measure, 0.0)
        )
        for limit in ground.limits
    )


def _measured(
    ground: Ground,
    points: Sequence[Point],
    adapters: Mapping[int | str, Callable[[], Adapter]],
    kept: Kept,
    progress: Callable[[int, int], None],
    before: int,
    total: int,
) -> list[Measured]:
    """Points in turns of as many as fit in the stack."""
    found: list[Measured] = []
    loaded: dict[int | str, Adapter] = {}
    size = size_of(adapters[points[0].checkpoint]()[1])
    slots = max(1, min(SLOTS, BYTES // size))
    progress(before, total)
    for start in range(0, len(points), slots):
        turn = points[start : start + slots]
        loaded = {
            name: loaded.get(name) or adapters[name]() for name in {p.checkpoint for p in turn}
        }
        rows = kept(f"{before + start:04d}", partial(_turn, ground, turn, loaded))
        found += [Measured.from_json(row) for row in rows]
        progress(before + len(found), total)
    return found


def _turn(
    ground: Ground, points: Sequence[Point], loaded: Mapping[int | str, Adapter]
) -> list[dict[str, Any]]:
    lm = ground.lm
    given = [at_strength(*loaded[point.checkpoint], point, lm.model) for point in points]
    stack = stack_of(lm, given)
    with stack.attached(), stack.using(None):
        found = measure(ground, stack, points)
    return [one.to_json(ground.limits) for one in found]


def stack_of(lm: LanguageModel, adapters: Sequence[Adapter]) -> Stack:
    """A stack that holds adapters as they are, dropout off."""
    specs = [replace(spec, dropout=0.0) for spec, _ in adapters]
    stack = lora.Stack(lm.model, specs, [0] * len(specs))
    for number, (_, factors) in enumerate(adapters):
        stack.load_factors(number, factors)
    return stack


def measure(ground: Ground, stack: Stack, points: Sequence[Point]) -> list[Measured]:
    """What the adapters of a stack, one a point, keep and cost on the development part."""
    lm, before, split = ground.lm, ground.before, ground.split
    part, settings, prompts = split.development, before.settings, before.prompts
    some = replace(prompts, **_only(prompts, part.prompts))
    stored = list(chosen_facts(ground.facts, split.trained))
    kept = ask_each(lm, stack, stored, some, settings)
    measures: list[dict[str, tuple[float, float]]] = [{} for _ in points]
    if ground.asks("negative_shift") or ground.asks("refusals"):
        others = list(chosen_facts(ground.facts, split.asked))
        rows = [
            i for i, fact in enumerate(others) if ground.asks("refusals") or _can_fall(before, fact)
        ]
        answers = ask_each(lm, stack, [others[i] for i in rows], prompts, settings)
        for found, asked in zip(measures, answers, strict=True):
            found["negative_shift"] = fallen(before, [others[i] for i in rows], asked, len(others))
            if ground.asks("refusals"):
                found["refusals"] = refusing(asked)
    if ground.asks("neutral_kl") or ground.asks("perplexity"):
        texts = [ground.texts[place] for place in part.texts]
        for found, drift in zip(measures, drift_each(lm, stack, texts), strict=True):
            found["neutral_kl"] = drift.kl, drift.kl_error
            found["perplexity"] = drift.perplexity, drift.perplexity_error
    if ground.tasks:
        assert ground.outside is not None, "tasks were checked to be measurable"
        names = [str(number) for number in range(len(points))]
        changed = ground.outside(lm, stack, names, ground.tasks, "development")
        for found, row in zip(measures, changed, strict=True):
            found.update(row)
    return [
        Measured(
            point,
            float(answered.correct.mean()),
            {name: value for name, (value, _) in sorted(found.items())},
            {name: error for name, (_, error) in sorted(found.items())},
        )
        for point, answered, found in zip(points, kept, measures, strict=True)
    ]


def _only(prompts: Any, places: Sequence[int]) -> dict[str, Any]:
    """Some of the prompts."""
    return {
        "default": tuple(prompts.default[i] for i in places),
        "by_relation": {
            name: tuple(sets[i] for i in places) for name, sets in prompts.by_relation.items()
        },
    }


def _can_fall(before: ProbeResult, fact: Fact) -> bool:
    return bool(before.tally.k_greedy[before.index[fact.id]])


def fallen(
    before: ProbeResult, facts: Sequence[Fact], asked: Asked, of: int
) -> tuple[float, float]:
    """The share of facts known worse than before, by greedy answers, and its standard error.

    Args:
        before: the probe of the base.
        facts: those that were asked; all others were Unknown and cannot fall.
        asked: their answers through all prompts.
        of: facts in all.

    Returns:
        The error is that of (x + 1)/(n + 2): a count of 0 is no certainty.
    """
    rows = np.array([before.index[fact.id] for fact in facts], np.int64)
    n = before.tally.n_greedy[rows]
    was, now = label(before.tally.k_greedy[rows], n, 0), label(asked.correct.sum(1), n, 0)
    return share(int((now > was).sum()), of)


def share(count: int, of: int) -> tuple[float, float]:
    """A share and its standard error, taken at (count + 1)/(of + 2)."""
    near = (count + 1) / (of + 2)
    return count / of, math.sqrt(near * (1 - near) / (of + 2))


def refusing(asked: Asked) -> tuple[float, float]:
    """The share of answers that decline to answer, and its standard error over facts."""
    each: NDArray[np.float64] = asked.refused.mean(1)
    n = len(each)
    return float(each.mean()), float(each.std(ddof=1) / math.sqrt(n)) if n > 1 else 0.0
