"""The form of ``bits.json``: how much an adapter stores, as far as a card tells of it."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from lorepack.reports import figures as fig
from lorepack.reports.form import Count, Part, Share


class Stored(Part):
    """Bits under three ways of counting."""

    clipped: float | None = None
    unclipped: float | None = None
    memory: float | None = None


class FalseRecall(Part):
    """Keys that were never trained and are answered all the same."""

    keys: Count = 0
    share: Share | None = None
    threshold: float | None = None


class Bits(Part):
    """What was stored (schema 1)."""

    schema_: int = Field(default=1, alias="schema", ge=1, le=1)
    values: Count
    entropy_bits: float | None = None
    known_entropy: bool = False
    parameters: Count
    bits: Stored
    bits_a_parameter: Stored
    ceiling_a_parameter: float | None = None
    false_recall: FalseRecall | None = None


def sentence(bits: Bits) -> str:
    """What was stored, in one sentence."""
    word = "" if bits.known_entropy else "at most "
    text = (
        f"{fig.count(bits.values)} values are stored in {fig.count(bits.parameters)} parameters: "
        f"{word}{fig.real(bits.bits.clipped)} bits, "
        f"{fig.real(bits.bits_a_parameter.clipped)} a parameter"
    )
    if bits.ceiling_a_parameter is not None:
        text += f" of a possible {fig.real(bits.ceiling_a_parameter)}"
    if bits.false_recall is not None and bits.false_recall.share is not None:
        keys = fig.count(bits.false_recall.keys)
        text += f"; false recall {fig.percent(bits.false_recall.share)} of {keys} keys"
    return f"{text}."


def parse(value: Any) -> Bits:
    """The stored bits in a JSON value; raises `pydantic.ValidationError`."""
    return Bits.model_validate(value)
