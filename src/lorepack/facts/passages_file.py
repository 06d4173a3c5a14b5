"""Reading passages from a file: the first bad row stops, by name of file and line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lorepack.errors import InputError, NotFoundError
from lorepack.facts.passage import COLUMNS, Passage
from lorepack.facts.rows import Record, RowError, show_names
from lorepack.facts.sources import JsonLines, format_of

_NUMBERS = frozenset({"page", "start", "end"})


def read_passages(path: Path | str) -> Iterator[Passage]:
    """Stream the passages of a file, in its order; fields that no passage has are left out.

    Args:
        path: ``.jsonl`` or ``.ndjson`` (also ``.gz``), with the fields of `Passage`.

    Returns:
        An iterator; memory stays the same for any size.

    Raises:
        NotFoundError: there is no such file.
        InputError: the first bad row, as ``file:line: …``; no passages; not a known format.
    """
    return _passages(lines_of(path, "passages"))


def lines_of(path: Path | str, what: str) -> JsonLines:
    """A file of one JSON object a line.

    Args:
        path: ``.jsonl`` or ``.ndjson`` (also ``.gz``).
        what: it holds, for the error.

    Raises:
        NotFoundError: there is no such file.
        InputError: a folder, or not a known format.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected one file of {what}")
    if not path.exists():
        raise NotFoundError(f"no such file: {path}")
    if format_of(path) != "jsonl":
        raise InputError(f"{path}: {what} are read from .jsonl, one object a line")
    return JsonLines(path)


def _passages(source: JsonLines) -> Iterator[Passage]:
    empty = True
    for line, raw in source.rows():
        try:
            passage = _passage(source.record(raw))
        except RowError as error:
            raise InputError(f"{source.path}:{line}: {error}") from None
        empty = False
        yield passage
    if empty:
        raise InputError(f"{source.path}: no passages; expected at least one row")


def _passage(record: Record) -> Passage:
    given = {name: value for name in COLUMNS if (value := record.get(name)) is not None}
    if "text" not in given:
        raise RowError("schema_missing", f"no 'text'; the row has: {show_names(record)}")
    fields = {name: _field(name, value) for name, value in given.items()}
    if not fields["text"].strip():
        raise RowError("schema_missing", "'text' is empty; expected some text")
    start, end = fields.get("start"), fields.get("end")
    if start is not None and end is not None and end < start:
        raise RowError("schema_type", f"'end' {end} lies before 'start' {start}")
    return Passage(**fields)


def _field(name: str, value: Any) -> Any:
    if name in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise RowError("schema_type", f"{name!r} is {ascii(value)[:40]}; expected a number")
        return value
    return text_field(name, value, counted=name == "id")


def text_field(name: str, value: Any, *, counted: bool = False) -> str:
    """A field of a row that is text, as it stands.

    Args:
        name: of the field, for the error.
        value: what the row holds.
        counted: whether a whole number is taken, too: databases count their rows.

    Raises:
        RowError: it is something else, or cannot be written as UTF-8.
    """
    if counted and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise RowError("schema_type", f"{name!r} is {ascii(value)[:40]}; expected text")
    if "\0" in value:
        raise RowError("schema_encoding", f"{name!r} holds a NUL byte; remove it")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RowError(
            "schema_encoding", f"{name!r} is not valid UTF-8; save the file as UTF-8"
        ) from None
    return value
