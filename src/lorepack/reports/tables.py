"""The figures of an audit as tables of text: what the page, the card and the terminal print."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lorepack.reports import figures as fig
from lorepack.reports.audit_file import (
    CATEGORIES,
    Audit,
    Matrix,
    Shift,
    Shifts,
    afters,
    befores,
    total,
)
from lorepack.reports.run_files import read_audit, read_budget
from lorepack.reports.verdict import verdict

REHEARSED = "Rehearsed (known facts in the mix)"
OTHERS = "Not in the mix"
SPILL_OVER = (
    "Spill-over: category changes of the facts that were not in the mix (neither trained nor "
    "rehearsed)."
)


@dataclass(frozen=True)
class Table:
    """A table of text; the first column names the row, the others hold numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """A run in short: the sentence, what went wrong, and the tables behind it."""

    sentence: str
    cautions: tuple[str, ...]
    tables: tuple[Table, ...]


def summary(run: Path | str) -> Summary:
    """The result of a run, or of an audit alone, as text for a terminal.

    Args:
        run: a run folder, or the folder that an audit was written to.

    Returns:
        The sentence of the report, its cautions as ``name: text``, and its small tables.

    Raises:
        LorepackError: there is no audit, or it cannot be read.
    """
    audit = read_audit(run)
    said = verdict(audit, read_budget(run))
    tables = (categories(audit), learning(audit), shifts(audit), side_effects(audit))
    return Summary(said.plain, tuple(f"{c.name}: {c.text}" for c in said.cautions), tables)


@dataclass(frozen=True)
class FactSet:
    """A set of facts that is counted apart."""

    name: str
    matrix: Matrix
    shifts: Shifts


def fact_sets(audit: Audit) -> tuple[FactSet, ...]:
    """All facts, and the sets they fall into; rehearsed ones are shown where there are any."""
    moves, moved = audit.transitions, audit.shifts
    sets = [
        FactSet("All", moves.all, moved.all),
        FactSet("Trained", moves.trained, moved.trained),
    ]
    if audit.rehearsed:
        sets.append(FactSet(REHEARSED, moves.rehearsed, moved.rehearsed))
    return (*sets, FactSet(OTHERS, moves.untrained, moved.untrained))


def categories(audit: Audit) -> Table:
    """Facts a category before and after, with shares, of every set."""
    rows = []
    for one in fact_sets(audit):
        whole = total(one.matrix)
        for when, counts in (("before", befores(one.matrix)), ("after", afters(one.matrix))):
            cells = (_counted(counts[name], whole) for name in CATEGORIES)
            rows.append((f"{one.name}, {when}", *cells, fig.count(whole)))
    return Table("What the model knows", ("Facts", *CATEGORIES, "Sum"), tuple(rows))


def _counted(number: int, whole: int) -> str:
    return f"{fig.count(number)} ({fig.percent(number / whole)})" if whole else fig.count(number)


def learning(audit: Audit) -> Table:
    """Reliability and generality, each with its interval and what it was asked of."""
    rows: list[tuple[str, ...]] = []
    rel, gen = audit.reliability, audit.generality
    if rel is None:
        rows.append(("Reliability", fig.NOT_MEASURED, "", ""))
    else:
        asked = f"{fig.facts(rel.facts)} × {fig.count(rel.prompts)} prompts"
        bounds = fig.interval(rel.low, rel.high)
        rows.append(("Reliability, mean over facts and prompts", fig.percent(rel.mean), bounds,
                     asked))  # fmt: skip
        for name, share, low, high in (
            ("Right in all prompts", rel.all, rel.all_low, rel.all_high),
            ("Right in any prompt", rel.any, rel.any_low, rel.any_high),
        ):
            asked = fig.facts(rel.facts)
            rows.append((name, fig.percent(share), fig.interval(low, high), asked))
    if gen is None:
        rows.append(("Generality, unseen wordings", fig.NOT_MEASURED, "", ""))
    else:
        asked = f"{fig.facts(gen.facts)}, {fig.count(gen.wordings)} wordings"
        bounds = fig.interval(gen.low, gen.high)
        rows.append(("Generality, unseen wordings", fig.percent(gen.mean), bounds, asked))
    columns = ("Trained facts answered right", "Share", "95 % interval", "Asked")
    return Table("What was learned", columns, tuple(rows))


def shifts(audit: Audit) -> Table:
    """Shifts in both directions under both denominators, every set of facts apart."""
    rows = []
    for one in fact_sets(audit):
        name = f"{OTHERS} (spill-over)" if one.name == OTHERS else one.name
        for word, shift in (("better", one.shifts.positive), ("worse", one.shifts.negative)):
            rows.append((f"{name}: {word}", *_shift(shift, total(one.matrix))))
    columns = ("Facts whose category moved", "Facts", "Of all in the set", "Of those that could")
    note = (
        "A fact could get better if it was not HighlyKnown before, and worse if it was not "
        f"Unknown. {SPILL_OVER}"
    )
    return Table("Shifts", columns, tuple(rows), note)


def _shift(shift: Shift, whole: int) -> tuple[str, str, str]:
    share = fig.ratio(shift.count, whole)
    bounds = fig.interval(shift.low, shift.high)
    movable = "none could" if shift.of_movable is None else fig.percent(shift.of_movable)
    return (
        f"{fig.count(shift.count)} of {fig.count(whole)}",
        "–" if share is None else fig.percent(share) + (f" ({bounds})" if bounds else ""),
        movable,
    )


def side_effects(audit: Audit) -> Table:
    """Refusals, drift on neutral text and the variety of answers, before and after."""
    rows: list[tuple[str, ...]] = []
    refusals, neutral, answers = audit.refusals, audit.neutral, audit.answers
    if refusals is None:
        rows.append(("Refusals", fig.NOT_MEASURED, fig.NOT_MEASURED, ""))
    else:
        cells = (_counted(n, refusals.answers) for n in (refusals.before, refusals.after))
        rows.append(("Refusals", *cells, f"{fig.count(refusals.answers)} answers"))
    if answers is None:
        rows.append(("Distinct answers", fig.NOT_MEASURED, fig.NOT_MEASURED, ""))
    else:
        cells = (fig.count(n) for n in (answers.distinct_before, answers.distinct_after))
        rows.append(("Distinct answers", *cells, f"{fig.count(answers.total)} answers"))
    if neutral is None:
        rows.append(("Perplexity, neutral text", fig.NOT_MEASURED, fig.NOT_MEASURED, ""))
        rows.append(("KL to the base, nats a token", "", fig.NOT_MEASURED, ""))
    else:
        tokens = f"{fig.count(neutral.tokens)} tokens"
        cells = (fig.real(n) for n in (neutral.perplexity_before, neutral.perplexity_after))
        rows.append(("Perplexity, neutral text", *cells, tokens))
        rows.append(("KL to the base, nats a token", "0", fig.real(neutral.kl), tokens))
    columns = ("Side effect", "Before", "After", "Of")
    return Table("Side effects", columns, tuple(rows))
