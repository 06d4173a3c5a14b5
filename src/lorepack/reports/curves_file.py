"""Reads ``curves.json``: figures of many adapters against how many facts each was given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lorepack import files
from lorepack.errors import InputError, NotFoundError

CURVES = "curves.json"
WORDS = {
    ("none", 0): "new facts alone",
    ("known", 1): "+ 1 known each",
    ("known", 10): "+ 10 known each",
    ("paraphrases", 1): "+ 1 wording each",
    ("paraphrases", 10): "+ 10 wordings each",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class CurveCell(_Part):
    """One adapter."""

    unknown: int = Field(ge=1)
    """new facts in its mix"""
    mode: str
    each: int = Field(ge=0)
    """known facts, or other wordings, for each new fact"""
    seed: int
    epochs: tuple[float | None, ...]
    """reliability after each"""
    figures: dict[str, float | None]

    @property
    def mix(self) -> str:
        """The mix in words, without its size."""
        return WORDS.get((self.mode, self.each), f"+ {self.each} {self.mode} each")


class Missing(_Part):
    """A cell that could not be filled."""

    unknown: int
    mode: str
    each: int
    why: str


class Curves(_Part):
    """All adapters of one grid."""

    model: dict[str, Any]
    recipe: dict[str, Any]
    audited: int
    """facts that shifts are counted on; no mix holds one"""
    prompts: int
    base: dict[str, float]
    """the figures of the base, where it has them"""
    cells: tuple[CurveCell, ...] = Field(min_length=1)
    missing: tuple[Missing, ...] = ()

    @property
    def mixes(self) -> list[str]:
        """The kinds of mix, in the order of the file."""
        return list(dict.fromkeys(cell.mix for cell in self.cells))

    @property
    def sizes(self) -> list[int]:
        """Numbers of new facts, smallest first."""
        return sorted({cell.unknown for cell in self.cells})

    @property
    def measured(self) -> list[str]:
        """The names of the figures, in the order of the file."""
        return list(dict.fromkeys(name for cell in self.cells for name in cell.figures))

    def values(self, mix: str, size: int, figure: str) -> Sequence[float]:
        """A figure of every seed of one cell."""
        found = (
            cell.figures.get(figure)
            for cell in self.cells
            if cell.mix == mix and cell.unknown == size
        )
        return [value for value in found if value is not None]


def read_curves(out: Path) -> Curves:
    """The curves of a folder.

    Raises:
        NotFoundError: it has none.
        InputError: the file is broken.
    """
    path = out / CURVES
    if not path.is_file():
        raise NotFoundError(f"{out}: no {CURVES}; nothing to draw")
    try:
        return Curves.model_validate(files.read_json(path))
    except ValidationError as error:
        first = str(error).splitlines()
        raise InputError(f"{path}: broken ({' '.join(first[:3])}); make it again") from None
