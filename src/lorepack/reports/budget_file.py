"""The form of ``budget.json``: limits on harm, the points that were tried, and what held."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from lorepack.reports import figures as fig
from lorepack.reports.form import Part

UPPER = {
    "neutral_kl": "neutral KL",
    "negative_shift": "facts that got worse",
    "refusals": "refusals",
    "perplexity": "perplexity ratio",
}
"""Measures that must not rise above their limit, in words; all others must not fall below it."""
SHARES = ("negative_shift", "refusals")


class Point(Part):
    """One checkpoint at one strength, measured on the development split."""

    checkpoint: int | str
    strength: float
    layers: str | None = None
    reliability: float | None = None
    measures: dict[str, float | None] = Field(default_factory=dict)
    holds: bool = False


class Tested(Part):
    """One measure on the test split."""

    value: float | None = None
    limit: float
    held: bool


class Test(Part):
    """The chosen point on facts that had no part in the choice."""

    __test__ = False  # not one of pytest's

    reliability: float | None = None
    measures: dict[str, Tested] = Field(default_factory=dict)


class Budget(Part):
    """A harm budget and what came of it (schema 1)."""

    schema_: int = Field(default=1, alias="schema", ge=1, le=1)
    limits: dict[str, float] = Field(default_factory=dict)
    points: tuple[Point, ...] = ()
    chosen: int | None = None
    test: Test | None = None
    held: bool

    @model_validator(mode="after")
    def _chosen_is_a_point(self) -> Budget:
        if self.chosen is not None and not 0 <= self.chosen < len(self.points):
            raise ValueError(f"chosen {self.chosen} is none of {len(self.points)} points")
        return self

    @property
    def choice(self) -> Point | None:
        """The point that was chosen; None when no point holds."""
        return None if self.chosen is None else self.points[self.chosen]


def named(measure: str) -> str:
    """A measure in words."""
    return UPPER.get(measure, f"change of {measure}")


def shown(measure: str, value: float | None) -> str:
    """A value of a measure: shares in percent, changes of a task with their sign."""
    if value is None:
        return "–"
    if measure in SHARES:
        return fig.percent(value)
    return fig.real(value) if measure in UPPER else fig.signed(value, 4)


def sign(measure: str) -> str:
    """On which side of its limit a measure must lie."""
    return "≤" if measure in UPPER else "≥"


def sentence(budget: Budget) -> str:
    """What came of a budget, the verdict first, ``**`` around it."""
    word = "held" if budget.held else "not held"
    return f"**The budget was {word}.** {outcome(budget)}"


def outcome(budget: Budget) -> str:
    """The point that was chosen and what it measured, in one sentence."""
    point, test = budget.choice, budget.test
    if point is None:
        return "No checkpoint and strength stays within the limits."
    place = "the end" if point.checkpoint == "final" else f"epoch {point.checkpoint}"
    layers = f" in {point.layers}" if point.layers else ""
    text = f"Strength {point.strength:g}{layers} of the adapter from {place}"
    if test is None:
        return f"{text}; the test split was not asked."
    parts = [
        f"{named(name)} {shown(name, one.value)} (limit {bound(name, one.limit)}"
        + ("" if one.held else ", not held")
        + ")"
        for name, one in sorted(test.measures.items())
    ]
    learned = f"reliability {fig.percent(test.reliability)}"
    return f"{text}, on the test split: {', '.join([learned, *parts])}."


def bound(measure: str, limit: float) -> str:
    """A limit with its side, as it was given; shares in percent."""
    number = fig.percent(limit) if measure in SHARES else f"{limit:g}".replace("-", "−")
    return f"{sign(measure)} {number}"


def parse(value: Any) -> Budget:
    """The budget in a JSON value; raises `pydantic.ValidationError`."""
    return Budget.model_validate(value)
