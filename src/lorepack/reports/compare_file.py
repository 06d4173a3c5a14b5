"""Reads ``compare.json``: several adapters' figures, their pairs, and seeds as a spread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lorepack import files
from lorepack.errors import InputError, NotFoundError

COMPARE = "compare.json"
FIGURES = {
    "reliability": ("Reliability", "share"),
    "generality": ("Generality", "share"),
    "spillover_negative": ("Spill-over, worse", "share"),
    "spillover_positive": ("Spill-over, better", "share"),
    "neutral_kl": ("KL, neutral text", "real"),
    "refusals_before": ("Refusals before", "count"),
    "refusals_after": ("Refusals after", "count"),
    "known_before": ("Known before", "share"),
    "known_after": ("Known after", "share"),
}
"""figure -> its title and how it is written; in the table's order"""


class Line(BaseModel):
    """One adapter."""

    model_config = ConfigDict(frozen=True)

    name: str
    base: str
    fingerprint: str = ""
    facts: int
    trained: int
    seed: int | None = None
    collapsed: bool = False
    reliability: float | None = None
    generality: float | None = None
    positive_shift: float | None = None
    negative_shift: float | None = None
    spillover_positive: float | None = None
    spillover_negative: float | None = None
    neutral_kl: float | None = None
    refusals_before: int | None = None
    refusals_after: int | None = None
    known_before: float | None = None
    known_after: float | None = None
    intervals: dict[str, tuple[float, float]] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Couple(BaseModel):
    """Two adapters on the facts that both were asked."""

    model_config = ConfigDict(frozen=True)

    a: str
    b: str
    set: str
    """``trained`` or ``untrained``"""
    facts: int
    only_a: int
    only_b: int
    p: float
    holm: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None


class Spread(BaseModel):
    """One figure of adapters that differ in their seed."""

    model_config = ConfigDict(frozen=True)

    mean: float
    min: float
    max: float


class Group(BaseModel):
    """Adapters that differ in nothing but their seed."""

    model_config = ConfigDict(frozen=True)

    name: str
    rows: tuple[str, ...]
    seeds: tuple[int, ...]
    reliability: Spread | None = None
    generality: Spread | None = None
    spillover_positive: Spread | None = None
    spillover_negative: Spread | None = None
    neutral_kl: Spread | None = None
    refusals_before: Spread | None = None
    refusals_after: Spread | None = None
    known_before: Spread | None = None
    known_after: Spread | None = None


class Comparison(BaseModel):
    """Several adapters."""

    model_config = ConfigDict(frozen=True)

    model: dict[str, Any] | None
    """the base; None where they have different ones"""
    rows: tuple[Line, ...] = Field(min_length=1)
    pairs: tuple[Couple, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()


def read_comparison(out: Path) -> Comparison:
    """The comparison that a folder holds.

    Raises:
        NotFoundError: there is none.
        InputError: it is broken.
    """
    path = out / COMPARE
    if not path.is_file():
        raise NotFoundError(f"{out}: no {COMPARE}; `lorepack audit A B …` writes it")
    try:
        return Comparison.model_validate(files.read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise InputError(f"{path}: {where}: {first['msg']}; compare again") from error
