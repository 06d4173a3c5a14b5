"""How harm is measured; what decides the figures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from lorepack.errors import InputError


@dataclass(frozen=True, slots=True)
class HarmSettings:
    """Settings of a measurement.

    Raises:
        InputError: a value out of range.
    """

    limit: int | None = None
    """most items of a task; those of a group of tasks are spread evenly over its tasks"""
    half: Literal["even", "odd"] | None = None
    """only every second item: what is chosen by one half can be judged by the other"""
    shots: int | None = None
    """examples before each item; None keeps the task's own number. Tasks that fix 0 keep 0"""
    chat_template: bool = False
    """whether the harness's prompts are wrapped in the model's chat template"""
    answer_tokens: int = 256
    """most tokens of a written answer, where the task does not say"""
    seed: int = 1234
    """of the draw of shots (the harness's own default) and of the bootstrap"""
    resamples: int = 10_000
    """of the paired bootstrap"""

    def __post_init__(self) -> None:
        for name, least in (("limit", 1), ("shots", 0), ("answer_tokens", 1), ("resamples", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name}: got {value}; expected {least} or more")

    def deciding(self) -> dict[str, Any]:
        """What decides the outcome of each item."""
        row = asdict(self)
        del row["resamples"]
        return row
