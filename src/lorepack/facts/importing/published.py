"""What the formats of published data sets have in common: records, splits, passages.

A fact's ``source`` is the name of the data set, followed by ``/`` and the id of the document where
it belongs to one (``squad/Super_Bowl_50/3``); passages have the name as ``source`` and the id as
``document``. So facts and passages can be joined without a look at their texts.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lorepack.errors import InputError
from lorepack.facts.importing.format import Item, Options, Where
from lorepack.facts.importing.registry import HEAD
from lorepack.facts.importing.streams import first_record, kind_of
from lorepack.facts.importing.tabular import batch_values, csv_rows, json_lines, json_rows
from lorepack.facts.passage import Passage
from lorepack.facts.rows import RowError, show_names

Rows = Iterator[tuple[Where, Any]]

PARQUET_BATCH = 16
"""rows that are read at once: those of long documents hold megabytes each"""

_SPLIT = re.compile(r"(?<![a-z])(train|dev|valid|validation|test|eval)(?![a-z])")


@dataclass(frozen=True)
class Published:
    """The format of one data set, as it was published and as the hub has it."""

    name: str
    about: str
    knows: Callable[[Path, Mapping[str, Any]], bool]
    """whether the first record of a file is one of this data set, beyond doubt"""
    reader: Callable[[Path, Options], Rows]
    maker: Callable[[Any, Options], Iterable[Item]]
    takes: frozenset[str] = frozenset()
    yields: str = "facts"

    def fits(self, path: Path, head: bytes) -> bool:
        """Whether the first record of a file is one of this data set."""
        first = first_of(path, head)
        return first is not None and self.knows(path, first)

    def rows(self, path: Path, options: Options) -> Rows:
        """The records, each with its place; one that cannot be read as the reason why."""
        return self.reader(path, options)

    def items(self, raw: Any, options: Options) -> Iterable[Item]:
        """The facts and passages of a record."""
        return self.maker(raw, options)


class Asked(NamedTuple):
    """A question with the document that it belongs to."""

    record: Any
    """the question with its answers; None for a document that has no questions"""
    about: Any
    """the document, or what is known of it"""
    first: bool
    """whether its passage is due: the document was not there before, or has no questions"""


def records(path: Path, options: Options = Options(), part: str = "split") -> Rows:  # noqa: B008
    """The records of a file: JSON lines, a JSON document of lists, a table, or Parquet.

    Each gets a ``split`` where its list or the file's name says one.

    Args:
        path: the file.
        options: of which ``split`` chooses the records of one part.
        part: name of the key that says which part a record is of.

    Raises:
        InputError: it cannot be read, or has no such part.
    """
    kind, split = kind_of(path), split_of(path)
    plain = Options()
    readers = {".json": json_rows, ".csv": csv_rows, ".tsv": csv_rows}
    readers |= dict.fromkeys((".parquet", ".pq"), _parquet_rows)
    parts = set()
    for where, raw in readers.get(kind, json_lines)(path, plain):
        if isinstance(raw, dict):
            if split and "split" not in raw:
                raw = {**raw, "split": split}
            parts.add(str(raw.get(part)))
            if options.split is not None and raw.get(part) != options.split:
                continue
        yield where, raw
    if options.split is not None and options.split not in parts:
        raise InputError(f"{path}: no split {options.split!r}; it has: {show_names(sorted(parts))}")


def split_of(path: Path) -> str | None:
    """The split that the name of a file says (``NQ-open.dev.jsonl``); None where it says none."""
    found = set(_SPLIT.findall(path.name.lower()))
    return found.pop() if len(found) == 1 else None


def files_in(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """The files of a folder whose whole name is like this, sorted: shorter names come first.

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        files = [path for path in folder.iterdir() if name.fullmatch(path.name)]
    except OSError as error:
        raise InputError(f"cannot read {folder}: {error.strerror or error}") from error
    return sorted(files, key=lambda path: (len(path.name), path.name))


def first_of(path: Path, head: bytes) -> Mapping[str, Any] | None:
    """The first record of a file, however long it is; None where there is none.

    Of a table only the names are known: their values are empty.
    """
    if path.is_dir():
        return None
    kind = kind_of(path)
    if head.startswith(b"PAR1"):
        return _parquet_outline(path)
    if kind in (".csv", ".tsv"):
        return _header(head)
    if (first := first_record(path, head)) is not None:
        return first
    begins = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if not begins or begins not in (b"{[" if kind == ".json" else b"{"):
        return None
    if len(head) < HEAD and kind in (".json", ".jsonl", ".ndjson"):
        return None  # it was all there, and is broken
    try:
        status = path.stat()
    except OSError:
        return None
    return _first_in_file(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _first_in_file(path: Path, size: int, changed: int) -> Mapping[str, Any] | None:
    """The first record of a file that was last changed then: every format asks for it."""
    rows = json_rows(path, Options()) if kind_of(path) == ".json" else json_lines(path, Options())
    try:
        _, raw = next(rows, (None, None))
    except InputError:
        return None
    return raw if isinstance(raw, dict) else None


def _header(head: bytes) -> Mapping[str, Any] | None:
    top = head.partition(b"\n")[0].decode("utf-8-sig", "replace")
    try:
        names = next(csv.reader([top], delimiter=max(",;\t", key=top.count)), [])
    except csv.Error:
        return None
    return dict.fromkeys(map(str.strip, names), "")


def _parquet_outline(path: Path) -> Mapping[str, Any] | None:
    """A record of the shape that a Parquet file has, without values."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def outline(kind: Any) -> Any:
        if pa.types.is_struct(kind):
            return {field.name: outline(field.type) for field in kind}
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            return [outline(kind.value_type)]
        return ""

    try:
        return {field.name: outline(field.type) for field in pq.read_schema(path)}
    except (pa.ArrowException, OSError, ValueError):
        return None


def _parquet_rows(path: Path, options: Options) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = itertools.count(1)
    try:
        with pq.ParquetFile(path) as table:
            for batch in table.iter_batches(PARQUET_BATCH):
                for row in batch_values(batch):
                    yield Where(path, next(numbers)), row
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        why = " ".join(str(error).split())
        raise InputError(f"{path}: not readable as Parquet ({why}); fetch it again") from error


def passage(
    text: Any,
    *,
    source: str,
    title: Any = None,
    document: Any = None,
    date: str | None = None,
    language: str | None = None,
) -> Passage:
    """A passage from what a data set gives; its text stays as it is.

    Raises:
        RowError: no text, or none that can be written.
    """
    if text is None or (isinstance(text, str) and not text.strip()):
        raise RowError("no_text", "the document has no text")
    if not isinstance(text, str):
        raise RowError("schema_type", f"the text is {type(text).__name__}; expected text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise RowError("schema_encoding", "the text is not valid UTF-8") from None
    if "\0" in text:
        raise RowError("schema_encoding", "the text holds a NUL byte")
    return Passage(
        text,
        title=label(title),
        document=label(document),
        source=source,
        date=date,
        language=language,
    )


def label(value: Any) -> str | None:
    """A name, an id or a number as text; None where there is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return None
    return value.strip().replace("\0", " ").encode("utf-8", "replace").decode() or None


def source_of(name: str, document: Any) -> str:
    """Where a fact comes from: the data set, and its document in it."""
    told = label(document)
    return f"{name}/{told}" if told else name


def key_of(text: str) -> str:
    """16 hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def each(*makers: Callable[[], Item]) -> Iterator[Item]:
    """Yield what can be made, whatever becomes of the rest.

    Raises:
        RowError: after the last: something could not be made.
    """
    errors = []
    for maker in makers:
        try:
            yield maker()
        except RowError as error:
            errors.append(error)
    if errors:
        raise RowError(errors[0].kind, "; ".join(map(str, errors)))
