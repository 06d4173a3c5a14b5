"""The summary of many jobs: one row each, as JSON, as CSV and as a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lorepack import files, reports
from lorepack.facts import Fact
from lorepack.facts.passage import Passage
from lorepack.llm import LanguageModel
from lorepack.packing.axes import shown
from lorepack.packing.job import Source, listed

SUMMARY, TABLE = "summary.json", "summary.csv"


@dataclass(frozen=True)
class Row:
    """One job and what came of it."""

    name: str
    folder: Path
    settings: Mapping[str, Any]
    """all of them; the summary shows those that are not the same everywhere"""
    figures: Mapping[str, Any]
    error: str | None = None
    """why it failed"""
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object, without its notes and path."""
        return {
            "name": self.name,
            "settings": dict(self.settings),
            "figures": dict(self.figures),
            "error": self.error,
        }


@dataclass(frozen=True)
class JobsResult:
    """What came of many jobs."""

    rows: tuple[Row, ...]
    summary: Path
    """``summary.html``; ``summary.json`` and ``summary.csv`` lie beside it"""
    seconds: float
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> dict[str, str]:
        """Why each job failed that did, by name."""
        return {row.name: row.error for row in self.rows if row.error is not None}

    def __getitem__(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {
            "jobs": [
                {"name": row.name, "folder": str(row.folder), **row.figures, "error": row.error}
                for row in self.rows
            ],
            "failed": self.failed,
            "summary": str(self.summary),
            "seconds": self.seconds,
            "notes": list(self.notes),
        }


def write(
    out: Path,
    kind: str,
    lm: LanguageModel,
    rows: Sequence[Row],
    seconds: float,
    notes: Sequence[str],
    keys: Sequence[str] | None = None,
) -> JobsResult:
    """Write ``summary.json``, ``summary.csv`` and ``summary.html``.

    Args:
        out: folder of all jobs.
        kind: ``jobs`` or ``grid``.
        lm: the base.
        rows: one a job.
        seconds: that the user's call took.
        notes: on all of them.
        keys: settings that the rows are told apart by; None takes those that are not the same
            everywhere.
    """
    # Errors name files from `out` on, so that equal work gives equal bytes in any folder.
    rows = [replace(r, error=r.error and r.error.replace(f"{out}/", "")) for r in rows]
    differ = list(keys) if keys is not None else varying(rows)
    kept = [{**row.to_json(), "settings": {k: row.settings.get(k) for k in differ}} for row in rows]
    base = {"name": Path(lm.name).name, "fingerprint": lm.fingerprint}
    value = {"schema": 1, "kind": kind, "model": base, "keys": differ, "rows": kept}
    files.write_json(out / SUMMARY, value)
    files.write_text(out / TABLE, _csv(differ, kept))
    page = reports.summary_page(out)
    found = [*notes, *(f"{row.name}: {note}" for row in rows for note in row.notes)]
    return JobsResult(tuple(rows), page, round(seconds, 1), tuple(dict.fromkeys(found)))


def varying(rows: Sequence[Row]) -> list[str]:
    """The settings that are not the same in all rows."""
    names = dict.fromkeys(name for row in rows for name in row.settings)
    return [name for name in names if len({str(row.settings.get(name)) for row in rows}) > 1]


def _csv(keys: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    figures = list(dict.fromkeys(name for row in rows for name in row["figures"]))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["name", *keys, *(name for name in figures if name not in keys), "error"])
    for row in rows:
        settings = [_cell(row["settings"][key]) for key in keys]
        values = [row["figures"].get(name) for name in figures if name not in keys]
        table.writerow([row["name"], *settings, *values, row["error"]])
    return text.getvalue()


def _cell(value: Any) -> Any:
    return shown(value) if isinstance(value, list | tuple) else value


def data_label(data: Source | Sequence[Source]) -> str:
    """What a job's data is called: its files, and how many items came without one."""
    sources = listed(data)
    named = [shown(str(s)) for s in sources if isinstance(s, str | Path)]
    loose = sum(isinstance(source, Fact | Passage) for source in sources)
    return "+".join([*named, *([f"{loose}-items"] if loose else [])])
