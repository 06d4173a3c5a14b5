"""How facts are probed: everything that decides the answers and their labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from lorepack import refusals
from lorepack.errors import InputError, suggest
from lorepack.llm import SYSTEM
from lorepack.refusals import Lexicon

# `paper` is what arXiv 2502.14502 and its code do: exemplars by position, the same for every
# question, the asked fact not left out, raw substring matching, no samples (so no WeaklyKnown).
PRESETS: dict[str, dict[str, Any]] = {
    "recommended": {},
    "paper": {"exemplars": "positional", "rule": "substring", "samples": 0},
}


class ProbeSettings(BaseModel):
    """Settings of a probe; the defaults are the preset ``recommended``.

    ``ProbeSettings(preset="paper")`` starts from the published choices; fields given beside it
    win. ``chunk`` decides memory and how much a killed probe loses, not the results.

    Raises:
        InputError: an unknown key (with a suggestion) or a value out of its range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    preset: Literal["recommended", "paper"] = "recommended"
    prompts: int = Field(10, ge=1)
    """few-shot prompts a question is asked through"""
    shots: int = Field(4, ge=0)
    """exemplars in a prompt"""
    samples: int = Field(16, ge=0)
    """sampled answers a prompt, beside the greedy one; 0: none, and nothing is WeaklyKnown"""
    temperature: float = Field(0.5, gt=0)
    """of the samples"""
    top_k: int = Field(40, ge=0)
    """of the samples; 0: all tokens"""
    max_new_tokens: int = Field(32, ge=1)
    exemplars: Literal["random", "positional", "same-relation"] = "random"
    rule: Literal["substring", "contains", "boundary", "exact"] = "boundary"
    """when a response counts as correct, see `lorepack.text.matches`"""
    seed: int = Field(0, ge=0)
    """decides exemplars and samples"""
    system: str = SYSTEM
    controls: int = Field(0, ge=0)
    """questions a relation about what does not exist, see `lorepack.probing.floor`; 0: none"""
    refusals: str = ""
    """what counts as declining to answer: a file, whose text is kept; empty: the shipped one"""
    chunk: int = Field(1024, ge=1)
    """facts in a chunk: the unit of memory and of resuming"""

    def __init__(self, **values: Any) -> None:
        unknown = sorted(values.keys() - ProbeSettings.model_fields.keys())
        if unknown:
            hint = suggest(unknown[0], ProbeSettings.model_fields)
            raise InputError(f"probe has no setting {unknown[0]!r}{hint}")
        preset = values.get("preset", "recommended")
        if preset not in PRESETS:
            raise InputError(f"no probe preset {preset!r}{suggest(str(preset), PRESETS)}")
        try:
            super().__init__(**{**PRESETS[preset], **values})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(f"probe setting {where}={first['input']!r}: {first['msg']}") from error

    @field_validator("refusals")
    @classmethod
    def _text_of_lexicon(cls, value: str) -> str:
        """The text of a lexicon, whose file's name was given (one line) or which was kept."""
        if not value or "\n" in value:
            return value
        return refusals.read(value)

    @property
    def lexicon(self) -> Lexicon:
        """What counts as declining to answer."""
        return refusals.of_text(self.refusals)

    @classmethod
    def named(cls, preset: str) -> ProbeSettings:
        """The settings of a preset, ``recommended`` or ``paper``."""
        return cls(preset=preset)

    def override(self, changes: Mapping[str, Any]) -> ProbeSettings:
        """These settings with some values changed; values may be text, as from a command line."""
        kept = {} if "preset" in changes else self.model_dump()
        return ProbeSettings(**{**kept, **changes})

    def deciding(self) -> dict[str, Any]:
        """The settings that decide results: all but how the work is cut."""
        return self.model_dump(exclude={"chunk"})
