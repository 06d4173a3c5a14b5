"""Files of facts, row by row: what kind of file it is, and where each row stands in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from lorepack.errors import InputError, NotFoundError
from lorepack.facts.lines import byte_lines
from lorepack.facts.rows import Record, RowError
from lorepack.facts.tables import CsvSource, ParquetSource


class Source(Protocol):
    """A file of facts, read twice at will: rows come raw, so that skipping one costs little."""

    path: Path

    def rows(self) -> Iterator[tuple[int, Any]]:
        """Yield ``(line, raw)``; a table without lines counts its rows from 1.

        Raises:
            InputError: the file breaks off or cannot be read further.
        """
        ...

    def record(self, raw: Any) -> Record:
        """The names and values of a raw row.

        Raises:
            RowError: this row is broken; the ones after it can still be read.
        """
        ...


def open_source(path: Path | str) -> Source:
    """The reader for a file, by its name.

    Args:
        path: ``.jsonl`` or ``.ndjson``, ``.csv`` or ``.tsv`` (each also ``.gz``), ``.parquet``.

    Raises:
        NotFoundError: there is no such file.
        InputError: it is a folder, or no format that is read here.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected one file of facts")
    if not path.exists():
        raise NotFoundError(f"no such file: {path}")
    kind = format_of(path)
    if kind == "parquet":
        return ParquetSource(path)
    return JsonLines(path) if kind == "jsonl" else CsvSource(path)


def format_of(path: Path) -> str:
    """``jsonl``, ``csv`` or ``parquet``, by the name of a file.

    Raises:
        InputError: the name says none of them.
    """
    name = path.name.lower()
    plain = name.removesuffix(".gz")
    for kind, suffixes in FORMATS.items():
        if plain.endswith(suffixes) and (kind != "parquet" or plain == name):
            return kind
    hint = "; a file with one JSON object a line is named .jsonl" if ".json" in name else ""
    raise InputError(
        f"{path}: no known format; expected .jsonl, .csv (or either with .gz) or .parquet{hint}"
    )


FORMATS = {
    "jsonl": (".jsonl", ".ndjson"),
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet", ".pq"),
}


class JsonLines:
    """One JSON object a line; blank lines are skipped."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not blank."""
        for number, line in byte_lines(self.path):
            if not line.isspace():
                yield number, line

    def record(self, raw: bytes) -> Record:
        """The object on a line."""
        # Bytes that are not UTF-8 become surrogates here, which the check of each text finds.
        text = raw.decode("utf-8", "surrogateescape")
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise RowError(
                "schema_json",
                f"not JSON ({error.msg} at column {error.colno}); expected one object a line",
            ) from None
        except (RecursionError, ValueError):  # nested too deep; a number of too many digits
            raise RowError(
                "schema_json", "JSON that cannot be read; expected a flat object"
            ) from None
        if not isinstance(value, dict):
            raise RowError(
                "schema_json",
                f"got a JSON {type(value).__name__}, expected an object; "
                "a JSON list must be written as one object a line",
            )
        return value
