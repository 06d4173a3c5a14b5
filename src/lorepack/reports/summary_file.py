"""Reads ``summary.json``: the jobs of one call, what differs between them, and their figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from lorepack import files
from lorepack.errors import InputError, NotFoundError

SUMMARY = "summary.json"
FIGURES = {
    "facts": ("Facts", "count", False),
    "texts": ("Texts", "count", False),
    "unknown_trained": ("Unknown facts", "count", False),
    "examples": ("Examples", "count", False),
    "steps": ("Steps", "count", False),
    "recall": ("Recall", "share", True),
    "evaluated": ("Recall, evaluation", "share", True),
    "reliability": ("Reliability", "share", True),
    "generality": ("Generality", "share", True),
    "positive_shift": ("Shifts, better", "share", True),
    "negative_shift": ("Shifts, worse", "share", True),
    "spillover_positive": ("Spill-over, better", "share", True),
    "spillover_negative": ("Spill-over, worse", "share", True),
    "neutral_kl": ("KL, neutral text", "real", True),
    "loss": ("Final loss", "real", True),
    "parameters": ("Parameters", "count", False),
}
"""figure -> its title, how it is written, and whether it is charted; in the page's order"""


class JobRow(BaseModel):
    """One job."""

    model_config = ConfigDict(frozen=True)

    name: str
    settings: dict[str, Any]
    figures: dict[str, float | int | None]
    error: str | None


class Summary(BaseModel):
    """The jobs of one call."""

    model_config = ConfigDict(frozen=True)

    kind: str
    """``jobs`` or ``grid``"""
    model: dict[str, Any]
    keys: tuple[str, ...]
    """settings that tell the jobs apart"""
    rows: tuple[JobRow, ...]

    @property
    def done(self) -> list[JobRow]:
        """The jobs that did not fail."""
        return [row for row in self.rows if row.error is None]


@dataclass(frozen=True)
class Found:
    """A folder of jobs, read."""

    summary: Summary
    steps: dict[str, list[tuple[float, float]]]
    """(step, loss) of each job, by name"""
    seconds: dict[str, float]
    """by stage; empty when not there"""


def read_summary(out: Path) -> Found:
    """The summary of a folder of jobs, with their curves.

    Raises:
        NotFoundError: there is none.
        InputError: it is broken.
    """
    if not (out / SUMMARY).is_file():
        raise NotFoundError(f"{out}: no {SUMMARY}; `lorepack train` and `pack --grid` write it")
    try:
        summary = Summary.model_validate(files.read_json(out / SUMMARY))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise InputError(f"{out / SUMMARY}: {where}: {first['msg']}; train again") from error
    steps = {row.name: _steps(out / row.name / "training" / "train.jsonl") for row in summary.rows}
    timing = files.read_json(out / "timing.json") if (out / "timing.json").is_file() else {}
    return Found(
        summary, {name: found for name, found in steps.items() if found}, timing.get("seconds", {})
    )


def _steps(path: Path) -> list[tuple[float, float]]:
    """(step, loss); none where a job did not come that far."""
    try:
        with open(path, encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        return [(float(row["step"]), max(float(row["loss"]), 1e-9)) for row in rows]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); train the job again") from error


def label(value: Any) -> str:
    """A setting's value as text."""
    if isinstance(value, list | tuple):
        return ", ".join(map(label, value))
    return "none" if value is None else str(value)
