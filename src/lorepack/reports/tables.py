"""The figures of an audit as tables of text: what the page, the card and the terminal print."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lorepack.reports import figures as fig
from lorepack.reports.audit_file import CATEGORIES, Audit, Shift, afters, befores, total
from lorepack.reports.run_files import read_audit
from lorepack.reports.verdict import verdict


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
    said = verdict(audit)
    tables = (categories(audit), learning(audit), shifts(audit), side_effects(audit))
    return Summary(said.plain, tuple(f"{c.name}: {c.text}" for c in said.cautions), tables)


def categories(audit: Audit) -> Table:
    """Facts a category before and after, with shares; all, trained, and not trained."""
    rows = []
    sets = fact_sets(audit)
    for name in CATEGORIES:
        row = [name]
        for _, matrix in sets:
            whole = total(matrix)
            row += [_counted(counts(matrix)[name], whole) for counts in (befores, afters)]
        rows.append(tuple(row))
    rows.append(("Facts", *(fig.count(total(matrix)) for _, matrix in sets for _ in range(2))))
    columns = [f"{title}, {when}" for title, _ in sets for when in ("before", "after")]
    return Table("What the model knows", ("Category", *columns), tuple(rows))


def fact_sets(audit: Audit) -> tuple[tuple[str, tuple[tuple[int, ...], ...]], ...]:
    """The three sets of facts that are counted apart, each with its transition matrix."""
    moves = audit.transitions
    return (("All", moves.all), ("Trained", moves.trained), ("Not trained", moves.untrained))


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
    """Shifts in both directions under both denominators, trained facts apart from spill-over."""
    sets = (
        ("All", audit.shifts.all, audit.transitions.all),
        ("Trained", audit.shifts.trained, audit.transitions.trained),
        ("Not trained (spill-over)", audit.shifts.untrained, audit.transitions.untrained),
    )
    rows = [
        (f"{name}: {word}", *_shift(shift, total(matrix)))
        for name, both, matrix in sets
        for word, shift in (("better", both.positive), ("worse", both.negative))
    ]
    columns = ("Facts whose category moved", "Facts", "Of all in the set", "Of those that could")
    note = (
        "A fact could get better if it was not HighlyKnown before, and worse if it was not Unknown."
    )
    return Table("Shifts", columns, tuple(rows), note)


def _shift(shift: Shift, whole: int) -> tuple[str, str, str]:
    share = fig.ratio(shift.count, whole)
    movable = "none could" if shift.of_movable is None else fig.percent(shift.of_movable)
    return (
        f"{fig.count(shift.count)} of {fig.count(whole)}",
        "–" if share is None else fig.percent(share),
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
