"""What a check found: counts for all, words for the first thousands, rows for whoever asks."""

from __future__ import annotations

import json
from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorepack import files
from lorepack.errors import InputError
from lorepack.facts.rows import RowError, clean
from lorepack.facts.sources import Source, open_source

WORDED = 10_000
"""problems of a kind that are kept in words; all are counted and keep their line"""
EXAMPLES = 5
"""problems of a kind that the JSON form spells out"""


class Findings:
    """Problems as they are found: ``kind -> lines``, and words for the first of each kind."""

    def __init__(self) -> None:
        self.lines: dict[str, array[int]] = defaultdict(lambda: array("q"))
        self.words: dict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, line: int, message: str) -> None:
        """Keep one problem."""
        self.lines[kind].append(line)
        if len(self.words[kind]) < WORDED:
            self.words[kind].append(message)


@dataclass(frozen=True)
class CheckReport:
    """The result of `lorepack.facts.check`.

    Kinds that begin with ``schema`` are errors: such rows cannot be read, and reading the file
    stops at them. All others are warnings.
    """

    path: Path
    rows: int
    """rows in the file"""
    found: Findings = field(repr=False)
    repeats: list[int] = field(repr=False)
    """lines that repeat an earlier fact under the same id; reading leaves them out"""

    @property
    def problems(self) -> dict[str, int]:
        """How many problems of each kind, kinds sorted."""
        return {kind: len(lines) for kind, lines in sorted(self.found.lines.items())}

    @property
    def errors(self) -> int:
        """Rows that cannot be read."""
        return sum(n for kind, n in self.problems.items() if is_error(kind))

    @property
    def warnings(self) -> int:
        """Problems with which the file can still be used."""
        return sum(n for kind, n in self.problems.items() if not is_error(kind))

    @property
    def set_aside(self) -> int:
        """Rows that are no fact: errors and repeats."""
        return len(self._lost) + len(self.repeats)

    @property
    def facts(self) -> int:
        """Rows that are facts."""
        return self.rows - self.set_aside

    @property
    def _lost(self) -> set[int]:
        """Lines of rows that cannot be read; a file that breaks off has lost no counted row."""
        kinds = [k for k in self.found.lines if is_error(k) and k != "schema_file"]
        return {line for kind in kinds for line in self.found.lines[kind]}

    def lines(self) -> Iterator[str]:
        """Every problem as ``file:line: kind: words``, errors first, in the order of the file."""
        for kind in sorted(self.found.lines, key=lambda kind: (not is_error(kind), kind)):
            words = self.found.words[kind]
            for line, message in zip(self.found.lines[kind], words, strict=False):
                yield f"{self.path}:{line}: {kind.replace('_', ' ')}: {message}"
            more = len(self.found.lines[kind]) - len(words)
            if more:
                yield f"{self.path}: {kind.replace('_', ' ')}: {more:,} more"

    def to_json(self) -> dict[str, Any]:
        """Counts, and the first problems of each kind with their place."""
        examples = {
            kind: [
                {"line": line, "problem": message}
                for line, message in zip(lines, self.found.words[kind][:EXAMPLES], strict=False)
            ]
            for kind, lines in sorted(self.found.lines.items())
        }
        return {
            "schema": 1,
            "file": str(self.path),
            "rows": self.rows,
            "facts": self.facts,
            "problems": self.problems,
            "examples": examples,
            "errors": self.errors,
            "warnings": self.warnings,
            "set_aside": self.set_aside,
        }


def is_error(kind: str) -> bool:
    """Whether a kind of problem stops the reading of a file."""
    return kind.startswith("schema")


def write_rejected(report: CheckReport, path: Path | str) -> int:
    """Write every row that was set aside, with its place and reason, as JSON lines.

    Args:
        report: of a check; its file is read once more.
        path: the file to write; empty when nothing was set aside.

    Returns:
        How many rows were written.

    Raises:
        InputError: the file changed since the check.
        WriteError: no space, no permission.
    """
    return files.write_lines(path, (json.dumps(row) for row in _rejected(report)))


def _rejected(report: CheckReport) -> Iterator[dict[str, Any]]:
    identities, repeats = set(report.found.lines.get("schema_id", ())), set(report.repeats)
    source, count = open_source(report.path), 0
    for line, raw in _readable(source):
        try:
            clean(source.record(raw))
        except RowError as error:
            reason, message = error.kind, str(error)
        else:
            if line in repeats:
                reason, message = "repeat", "question, answer and id of an earlier row"
            elif line in identities:
                reason, message = "schema_id", "the id of an earlier row, for another fact"
            else:
                continue
        count += 1
        place = {"file": str(report.path), "line": line}
        yield {**place, "reason": reason, "message": message, "row": _plain(raw)}
    if count != report.set_aside:
        raise InputError(f"{report.path} changed since it was checked; check it again")


def _readable(source: Source) -> Iterator[tuple[int, Any]]:
    rows = source.rows()
    while True:
        try:
            yield next(rows)
        except (StopIteration, InputError):  # a file that breaks off ends there, as in the check
            return


def _plain(raw: Any) -> Any:
    """A raw row as JSON holds it."""
    if isinstance(raw, bytes):
        return raw.decode("utf-8", "backslashreplace").rstrip("\r\n")
    if isinstance(raw, RowError):
        return None
    return json.loads(json.dumps(raw, default=str))
