"""Tables of facts: CSV and Parquet with the columns of a fact, or one column of labelled text."""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lorepack.errors import InputError
from lorepack.facts.lines import LINE_LIMIT, BrokenLineError, byte_lines
from lorepack.facts.rows import LISTS, Record, RowError, show_names

ROW_LINES = 1_000
"""of one row; where more would follow, a quote is taken for a stray one"""
ROW_BYTES = 1 << 20
"""of the lines of a row before the last, likewise"""

_LABELLED = re.compile(r"\s*Question:\s*(.+)\sAnswer:\s*(.*?)\s*", re.DOTALL)


def split_labelled(text: Any) -> Record:
    """Question and answer of a text ``Question: … Answer: …``; the last label wins.

    Raises:
        RowError: the labels are not there.
    """
    found = _LABELLED.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise RowError("schema_labels", "expected 'Question: ... Answer: ...' in column 'text'")
    return {"question": found[1], "answer": found[2]}


class CsvSource:
    """CSV with a header; comma, semicolon or tab, whichever the header has most of.

    List columns are JSON lists (``["a", "b"]``) or separated by ``|``. Names of columns are
    trimmed and read in lower case. A file whose only column is ``text`` holds labelled text.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._header: list[str] = []

    def rows(self) -> Iterator[tuple[int, list[str] | RowError]]:
        """Yield the rows after the header, each with the line where it begins."""
        numbered = byte_lines(self.path)
        first = next(numbered, None)
        if first is None:
            return
        top = first[1].decode("utf-8", "surrogateescape")
        delimiter = max(",;\t", key=top.count)
        self._header = _header(self.path, top, delimiter)
        yield from rows_of_cells(numbered, delimiter, len(self._header))

    def record(self, raw: list[str] | RowError) -> Record:
        """The named cells of a row, empty ones left out."""
        if isinstance(raw, RowError):
            raise raw
        if len(raw) != len(self._header):
            raise RowError(
                "schema_cells",
                f"{len(raw)} cells, the header has {len(self._header)}; "
                "put cells that hold the separator in double quotes",
            )
        if self._header == ["text"]:
            return split_labelled(raw[0])
        cells = zip(self._header, raw, strict=True)
        return {name: _cell(name, cell) for name, cell in cells if cell}


def rows_of_cells(
    numbered: Iterator[tuple[int, bytes | BrokenLineError]], delimiter: str, width: int
) -> Iterator[tuple[int, list[str] | RowError]]:
    """The rows of a CSV file behind its header, each with the line where it begins.

    One stray quote would take all that follows into its cell. So where a row of several lines
    does not end, or not with ``width`` cells, its first line alone is broken, and the next row
    begins with the line after it: every line is in a row, or broken by itself.

    Args:
        numbered: the lines that are left.
        delimiter: between cells.
        width: cells that a row should have; one that stands on one line is given as it is.
    """
    # A cell may be as long as a line; Python's own limit is 128 KiB.
    csv.field_size_limit(LINE_LIMIT)
    lines = _RowLines(numbered)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except BrokenLineError as error:
            yield lines.number, error
        except csv.Error as error:
            yield lines.go_back(str(error))
        else:
            if len(lines.row) > 1 and len(cells) != width:
                yield lines.go_back(f"{len(cells)} cells, the header has {width}")
            elif cells:
                yield lines.number, cells


class _RowLines:
    """The lines of a CSV file, for a reader that takes as many as make a row.

    Those of the row at hand are kept, and can be read again.
    """

    def __init__(self, numbered: Iterator[tuple[int, bytes | BrokenLineError]]) -> None:
        self._numbered = numbered
        self._again: deque[tuple[int, bytes | BrokenLineError]] = deque()
        self._ending: InputError | None = None  # to be raised once all lines before it were rows
        self.begin()

    def begin(self) -> None:
        """Forget the last row."""
        self.row: list[bytes] = []
        self.number = 0
        """the line where the row begins"""
        self._size = 0
        self._several = False

    def __iter__(self) -> _RowLines:
        return self

    def __next__(self) -> str:
        if not self.row:
            self.number, line = self._next()
            if isinstance(line, BrokenLineError):
                raise line
        else:  # which only a quoted cell without an end asks for
            line = self._continued()
        self.row.append(line)
        self._size += len(line)
        return line.decode("utf-8", "surrogateescape")

    def _next(self) -> tuple[int, bytes | BrokenLineError]:
        if self._again:
            return self._again.popleft()
        if self._ending:
            raise self._ending
        return next(self._numbered)

    def _continued(self) -> bytes:
        """One more line of the row; without one, the reader tells of an open quote."""
        self._several = True
        if len(self.row) >= ROW_LINES or self._size > ROW_BYTES:
            raise StopIteration
        try:
            number, line = self._next()
        except InputError as error:
            self._ending = error
            raise StopIteration from None
        if isinstance(line, BrokenLineError):
            self._again.appendleft((number, line))
            raise StopIteration
        return line

    def go_back(self, why: str) -> tuple[int, BrokenLineError]:
        """The first line of the row as a broken one; those after it will be read again."""
        first, *rest = self.row
        self._again.extendleft(reversed(list(enumerate(rest, self.number + 1))))
        kind, message = "schema_cells", f"broken quotes or cells ({why})"
        if self._several:
            kind = "schema_open_quote"
            why = why.replace("unexpected end of data", "nothing closes it")
            message = (
                f"a quote opens a cell that does not end as it should ({why}); "
                "close it, or write quotes inside a quoted cell twice"
            )
        return self.number, BrokenLineError(kind, message, first)


def _header(path: Path, line: str, delimiter: str) -> list[str]:
    try:
        names = next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise InputError(f"{path}:1: a header that cannot be read ({error})") from None
    return _columns(f"{path}:1", names)


def _columns(where: str, names: list[str]) -> list[str]:
    """The names of the columns, trimmed and in lower case; they must name a fact's fields."""
    names = [name.strip().lower() for name in names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{where}: column {twice[0]!r} twice; each name may stand once")
    if names != ["text"] and not {"question", "answer"} <= set(names):
        raise InputError(
            f"{where}: no columns 'question' and 'answer'; got {show_names(names)}; "
            "rename the columns, or give one column 'text' with 'Question: ... Answer: ...'"
        )
    return names


def _cell(name: str, cell: str) -> Any:
    if name in LISTS:
        return _list(name, cell.strip())
    if name == "popularity":
        try:
            return float(cell)
        except ValueError:
            raise RowError("schema_type", f"{name!r} is {cell[:40]!r}; expected a number") from None
    return cell


def _list(name: str, cell: str) -> list[Any]:
    if not cell.startswith("["):
        return [part for part in map(str.strip, cell.split("|")) if part]
    try:
        value = json.loads(cell)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list):
        raise RowError(
            "schema_type",
            f"{name!r} is {cell[:40]!r}; expected a JSON list "
            '(["a", "b"], double quotes) or texts separated by |',
        )
    return value


class ParquetSource:
    """Parquet with the columns of a fact, read in batches; rows are counted from 1."""

    BATCH = 4096

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the rows as Python values."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        number = 0
        try:
            with pq.ParquetFile(self.path) as table:
                names = table.schema_arrow.names
                columns = dict(zip(names, _columns(str(self.path), names), strict=True))
                for batch in table.iter_batches(self.BATCH):
                    batch = batch.rename_columns([columns[name] for name in batch.schema.names])
                    for row in batch.to_pylist():
                        number += 1
                        yield number, row
        except (pa.ArrowException, OSError) as error:
            raise InputError(
                f"{self.path}:{number + 1}: not readable as Parquet ({error}); write it again"
            ) from error

    def record(self, raw: dict[str, Any]) -> Record:
        """The row itself, without empty values."""
        if raw.keys() == {"text"}:
            return split_labelled(raw["text"])
        return {name: value for name, value in raw.items() if value is not None}
