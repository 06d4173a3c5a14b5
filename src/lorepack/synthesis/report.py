"""What a synthesis came to, as its folder says."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lorepack import files
from lorepack.errors import InputError

STAGE = "synthesis"
DESCRIBED = "synthesis.json"


@dataclass(frozen=True)
class SynthesisReport:
    """What a synthesis asked, kept and rejected."""

    passages: int
    items: int
    facts: int
    """questions for training"""
    texts: int
    targets: int
    exam: int
    """questions for evaluation"""
    rejected: dict[str, int]
    """by reason"""
    forms: dict[str, dict[str, Any]]
    """by form: passages, asked, replies, kept, rejected, tokens, cost"""
    coverage: dict[str, Any] | None
    leaks: dict[str, Any] | None
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    """in US dollars, of all replies that are used, whenever they were asked for"""
    failed: int
    """requests without a reply; the same command asks for them again"""
    requests: int
    """that the writer was asked in this run"""
    cached: int
    """that the cache answered in this run"""
    seconds: float | None
    """None where all was done before"""
    out: Path

    @classmethod
    def read(cls, folder: Path | str) -> SynthesisReport:
        """The report of a finished folder.

        Raises:
            NotFoundError: it holds no synthesis.
            InputError: its description is damaged.
        """
        folder = Path(folder)
        row = files.read_json(folder / DESCRIBED)
        timing = files.timing_of(folder, STAGE)
        try:
            return cls(
                **row["counts"],
                forms=row["forms"],
                coverage=row["coverage"],
                leaks=row["leaks"],
                requests=timing.get("requests", 0),
                cached=timing.get("cached", 0),
                seconds=timing.get("seconds"),
                out=folder,
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"{folder / DESCRIBED}: damaged ({error}); remove it") from error

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        row = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**row, "out": str(self.out)}
