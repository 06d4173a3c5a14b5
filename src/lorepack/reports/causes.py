"""The causes of spill-over in plain words, each beside what luck alone would explain."""

from __future__ import annotations

from dataclasses import dataclass

from lorepack.reports import figures as fig
from lorepack.reports.causes_file import Cause, Causes, Side

WORDS = {
    "refusal_gone": ("Refusal gone", "declined before, gives an answer now"),
    "refusal_come": ("Refusal come", "answered before, declines now"),
    "explosion": ("Answer explosion", "says an answer that the adapter gives far too often"),
    "target": ("Trained answer", "says the answer of a fact that was trained"),
    "domain": ("Same domain", "its relation is of the same domain as a trained fact's"),
    "relation": ("Same relation", "its relation is one that was trained"),
    "subject": ("Same subject", "its subject overlaps with that of a trained fact"),
    "format": ("Format changed", "the answer took another form: its length, dates, numbers, lists"),
}
"""label -> (name, what it means)"""
UNEXPLAINED = "unexplained"
DOMAINS = {
    "facts": "Domains of relations are those that the facts name.",
    "map": "Domains of relations come from a given map.",
    "ontology": "Domains of relations come from the ontology.",
    "none": "No domains of relations were known, so that none can be a cause.",
}


@dataclass(frozen=True)
class Row:
    """One cause on one side, as the page shows it."""

    label: str
    name: str
    meaning: str
    cause: Cause
    chance: str
    p: str


@dataclass(frozen=True)
class Part:
    """One side."""

    title: str
    direction: str
    side: Side
    rows: tuple[Row, ...]
    reach: float
    """the share at the right end of the drawing"""


def name(label: str) -> str:
    """The name of a cause in words."""
    return WORDS[label][0] if label in WORDS else label.replace("_", " ").capitalize()


def parts(causes: Causes) -> tuple[Part, ...]:
    """Both sides, got worse first; the causes by how far they lie above luck."""
    sides = (
        ("Got worse", "negative", causes.negative),
        ("Got better", "positive", causes.positive),
    )
    reach = max(_reach(side) for _, _, side in sides)
    return tuple(Part(title, way, side, _rows(side), reach) for title, way, side in sides)


def _reach(side: Side) -> float:
    most = max((x or 0.0 for one in side.labels.values() for x in (one.share, one.high)), default=0)
    return next(
        end for end in (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if most <= 0.96 * end or end == 1
    )


def _rows(side: Side) -> tuple[Row, ...]:
    labels = [label for label in WORDS if label in side.labels]
    labels += sorted(side.labels.keys() - WORDS.keys())
    labels.sort(key=lambda label: -_above(side.labels[label]))
    return tuple(_row(label, side.labels[label]) for label in labels)


def _above(cause: Cause) -> float:
    return (cause.share or 0.0) - (cause.chance or 0.0)


def _row(label: str, cause: Cause) -> Row:
    chance = fig.NOT_MEASURED
    if cause.chance is not None:
        bounds = fig.interval(cause.low, cause.high)
        chance = fig.percent(cause.chance) + (f" ({bounds})" if bounds else "")
    meaning = WORDS[label][1] if label in WORDS else ""
    if cause.common:
        meaning = (
            f"{meaning} It holds for nearly all facts, shifted or not: no explanation.".strip()
        )
    return Row(label, name(label), meaning, cause, chance, fig.p_value(cause.p))


def sentence(causes: Causes) -> str:
    """The causes in one line, for a card: per side those that explain more than luck."""
    return "; ".join(_said(part) for part in parts(causes)) + "."


def _said(part: Part) -> str:
    shifts = part.side.shifts
    if not shifts:
        return f"{part.title.lower()}: no fact"
    beyond = [_beside(row) for row in part.rows if row.cause.beyond_luck]
    rest = f"{fig.count(part.side.unexplained)} unexplained"
    more = ", ".join(beyond) or "no cause explains more than luck"
    return f"{part.title.lower()}, {fig.facts(shifts)}: {more}; {rest}".replace("; ", ", ")


def _beside(row: Row) -> str:
    share, chance = (fig.percent(x) for x in (row.cause.share, row.cause.chance))
    return f"{row.name.lower()} {share} (by luck {chance})"
