"""Where the adapter learned and where it broke: by relation, by popularity, by frequency."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from lorepack.reports import figures as fig
from lorepack.reports.audit_file import Audit, BucketCounts, RelationCounts
from lorepack.reports.form import CategoryCounts

RELATIONS = 200
"""relations a report lists; the largest come first when there are more"""
COLUMNS = ("Known before", "Known after", "Got better", "Got worse", "Reliability")
MOVES = ("same", "same", "better", "worse", "better")
"""the colour of every column"""


@dataclass(frozen=True)
class Cell:
    """One share: in words, and how to colour it."""

    text: str
    title: str
    css: str


@dataclass(frozen=True)
class Row:
    """One relation or bucket."""

    name: str
    facts: int
    counts: CategoryCounts
    cells: tuple[Cell, ...]


def by_relation(audit: Audit) -> tuple[Row, ...]:
    """The largest relations first; at most `RELATIONS`."""
    ranked = sorted(audit.by_relation.items(), key=lambda row: (-row[1].facts, row[0]))
    return tuple(_relation(name, counts) for name, counts in ranked[:RELATIONS])


def _relation(name: str, counts: RelationCounts) -> Row:
    reliability = Cell("–", "no trained facts", "l0")
    if counts.reliability is not None:
        of = "" if counts.trained is None else f"{fig.facts(counts.trained, 'trained')}"
        reliability = _cell(counts.reliability, of, "better", evenly)
    shares = _shares(counts, counts.facts, counts.positive, counts.negative)
    return Row(name, counts.facts, counts, (*shares, reliability))


def by_bucket(buckets: Iterable[BucketCounts] | None) -> tuple[Row, ...]:
    """Buckets in the order of the file."""
    return tuple(
        Row(one.bucket, one.facts, one, _shares(one, one.facts, one.positive, one.negative))
        for one in buckets or ()
    )


def _shares(
    counts: CategoryCounts, facts: int, positive: int | None, negative: int | None
) -> tuple[Cell, ...]:
    known = (facts - when.get("Unknown", 0) for when in (counts.before, counts.after))
    numbers = (*known, positive, negative)
    return tuple(
        Cell("–", "not counted", "l0")
        if number is None or not facts
        else _cell(
            number / facts,
            f"{fig.count(number)} of {fig.facts(facts)}",
            move,
            evenly if move == "same" else level,
        )
        for number, move in zip(numbers, MOVES, strict=False)
    )


def _cell(share: float, title: str, move: str, depth: Callable[[float], int]) -> Cell:
    return Cell(fig.percent(share), title, f"{move} l{depth(share)}")


def evenly(share: float) -> int:
    """How deep a share is coloured, 0 for none to 4, a quarter of all each."""
    return 0 if not share else 1 + min(3, int(4 * share))


def level(share: float) -> int:
    """How deep a share is coloured, 0 for none to 4; small shares are told apart better."""
    return 0 if not share else 1 + min(3, int(4 * min(share, 1.0) ** 0.5))
