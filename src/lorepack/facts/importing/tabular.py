"""Plain tables: JSON lines, CSV, Parquet and JSON lists, with any names of columns.

Without a mapping the columns are those of a fact. A mapping (``columns``: field -> column) says
where a foreign table has them; ``a.b`` names the key ``b`` inside ``a``. An answer may be a list,
or, where it is mapped, a list written as a string: its first element is the answer, the others
are aliases. With a mapping the ``id`` of a fact is derived, unless it is mapped too: foreign ids
count rows, and would meet those of other tables.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorepack.errors import InputError, NotFoundError, suggest
from lorepack.facts.fact import COLUMNS
from lorepack.facts.importing.format import Format, Item, Options, Where
from lorepack.facts.importing.registry import HOMES, named
from lorepack.facts.importing.streams import (
    are_lines,
    elements,
    first_record,
    kind_of,
    lines_or_reasons,
)
from lorepack.facts.importing.values import as_record, fact, found, listed, plain
from lorepack.facts.rows import KNOWN, LISTS, RowError, show_names
from lorepack.facts.sources import JsonLines
from lorepack.facts.tables import rows_of_cells, split_labelled

LOOKED_AT = 100
"""rows among which one must have a question and an answer, or the columns are other ones"""

_OTHER_NAMES = {
    "question": ("query", "prompt", "input", "problem", "instruction", "questions"),
    "answer": (
        "answers", "target", "targets", "gold", "gold_answer", "ground_truth", "output", "outputs",
        "response", "possible_answers", "label", "aliases",
    ),
}  # fmt: skip
_CHOICES = frozenset({"choices", "options"})  # where the answer is a letter
_NO_SPLITS = frozenset({"data", "rows"})  # keys of a JSON object that name no part of a data set

Rows = Iterator[tuple[Where, Any]]


@dataclass(frozen=True)
class Table:
    """A format of rows with named columns."""

    name: str
    about: str
    suffixes: tuple[str, ...]
    reader: Callable[[Path, Options], Rows]
    first: Callable[[Path, bytes], Sequence[str]]
    """the names of the columns, from the head of a file"""
    takes: frozenset[str] = frozenset({"columns"})
    yields: str = "facts"

    def fits(self, path: Path, head: bytes) -> bool:
        """Whether it has the columns of a fact, and is not of a format that knows more of it."""
        if kind_of(path) not in self.suffixes:
            return False
        names = set(self.first(path, head))
        if not {"question", "answer"} <= names or names & _CHOICES:
            return False
        return not any(named(name).fits(path, head) for name in HOMES if name not in FORMATS)

    def rows(self, path: Path, options: Options) -> Rows:
        """The rows as mappings, or as the reason why one cannot be read."""
        return with_columns(str(path), self.reader(path, options), options)

    def items(self, raw: Any, options: Options) -> Iterable[Item]:
        """The one fact of a row."""
        return [fact_of(as_record(raw), options.columns)]


def fact_of(row: Mapping[str, Any], columns: Mapping[str, str]) -> Item:
    """The fact in a row.

    Args:
        row: names and values.
        columns: field of a fact -> name of the column that holds it.

    Raises:
        RowError: no question, no answer, or something that is no text where one is due.
    """
    if row.keys() == {"text"} and not columns:
        row = split_labelled(row["text"])
    given: dict[str, Any] = {}
    for name in COLUMNS:
        if name == "id" and columns and "id" not in columns:
            continue
        value = found(row, columns.get(name, name))
        if value is None or value == "":
            continue
        given[name] = listed(value, name) if name in columns or name in LISTS else value
    if "question" not in given:
        where = columns.get("question", "question")
        raise RowError("schema_missing", f"no {where!r}; the row has: {show_names(row)}")
    answers, aliases = given.pop("answer", None), given.pop("aliases", None)
    if "popularity" in given:
        given["popularity"] = _number(given["popularity"])
    texts = {n: plain(v, n) for n, v in given.items() if n not in ("paraphrases", "popularity")}
    return fact(answers=answers, aliases=aliases, **{**given, **texts})


def with_columns(source: str, rows: Rows, options: Options) -> Rows:
    """The same rows, after a look at whether the columns of questions and answers are there.

    Raises:
        InputError: a field that no fact has, or no row with a question and an answer among the
            first hundred; it says which columns may be meant.
    """
    wrong = [name for name in options.columns if name not in KNOWN]
    if wrong:
        raise InputError(f"a fact has no field {wrong[0]!r}{suggest(wrong[0], KNOWN)}")
    first: list[tuple[Where, Any]] = []
    broken: InputError | None = None
    try:
        first.extend(itertools.islice(rows, LOOKED_AT))
    except InputError as error:
        if not first:
            raise
        broken = error
    records = [raw for _, raw in first if isinstance(raw, Mapping)]
    if records and not any(_complete(record, options) for record in records):
        raise InputError(f"{source}: {_what_is_missing(records, options)}")
    yield from first
    if broken:
        raise broken
    yield from rows


def _complete(record: Mapping[str, Any], options: Options) -> bool:
    """Whether a row has a question and an answer."""
    if record.keys() == {"text"} and not options.columns:
        return True
    return all(found(record, options.columns.get(n, n)) is not None for n in _OTHER_NAMES)


def _what_is_missing(records: Sequence[Mapping[str, Any]], options: Options) -> str:
    there = list(dict.fromkeys(str(key) for record in records for key in record))
    names = {n: options.columns.get(n, n) for n in _OTHER_NAMES}
    missing = [n for n in names if all(found(row, names[n]) is None for row in records)]
    missing = missing or list(names)
    likely = {n: [name for name in _OTHER_NAMES[n] if name in there] for n in missing}
    for name in missing:  # "Best Answer"
        likely[name] += [repr(column) for column in there if name in column.lower()]
    hint = " ".join(f"--{n} {(likely[n] or ['COLUMN'])[0]}" for n in missing)
    return (
        f"no column {' and '.join(repr(names[n]) for n in missing)}; it has: {show_names(there)}; "
        f"say where to look, perhaps: {hint}"
    )


def _number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        message = f"'popularity' is {value[:40]!r}; expected a number"
        raise RowError("schema_type", message) from None


def json_lines(path: Path, options: Options) -> Rows:
    """The objects of a file with one on each line."""
    reader = JsonLines(path)
    for number, line in lines_or_reasons(path):
        where = Where(path, number)
        if isinstance(line, RowError):
            yield where, line
        elif not line.isspace():
            try:
                yield where, reader.record(line)
            except RowError as error:
                yield where, error


def csv_rows(path: Path, options: Options) -> Rows:
    """The rows of a CSV file with a header, each with the line where it begins."""
    numbered = lines_or_reasons(path)
    first = next(numbered, (1, b""))[1]
    if isinstance(first, RowError):
        raise InputError(f"{path}:1: {first}, below a header")
    top = first.decode("utf-8", "surrogateescape")
    delimiter = max(",;\t", key=top.count)
    try:
        header = next(csv.reader([top], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise InputError(f"{path}:1: a header that cannot be read ({error})") from None
    names = _aligned(str(path), header, options)
    for number, cells in rows_of_cells(numbered, delimiter, len(names)):
        where = Where(path, number)
        if isinstance(cells, RowError):
            yield where, cells
        elif len(cells) == len(names):
            yield where, dict(zip(names, map(_cell, names, cells), strict=True))
        else:
            message = f"{len(cells)} cells, the header has {len(names)}"
            yield where, RowError("schema_cells", message)


def _cell(name: str, cell: str) -> Any:
    """A cell; several texts are a list in a string, or stand between ``|``."""
    if name in LISTS and not cell.lstrip().startswith("["):
        return [part for part in map(str.strip, cell.split("|")) if part]
    return cell


def parquet_rows(path: Path, options: Options) -> Rows:
    """The rows of a Parquet file, or of all those in a folder."""
    if not path.exists():
        raise NotFoundError(f"no such file: {path}")
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: no .parquet file in this folder")
    for file in files:
        for number, row in enumerate(_parquet_values(file, options), 1):
            yield Where(file, number), row


def _parquet_values(path: Path, options: Options) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            names = _aligned(str(path), table.schema_arrow.names, options)
            for batch in table.iter_batches(1024):
                yield from batch_values(batch.rename_columns(names))
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        why = " ".join(str(error).split())
        raise InputError(f"{path}: not readable as Parquet ({why}); fetch it again") from error


def batch_values(batch: Any) -> Iterator[Any]:
    """The rows of an Arrow batch as dicts; one that Python cannot hold as the reason why."""
    try:
        yield from batch.to_pylist()
    except (ValueError, OverflowError) as error:  # text that is not UTF-8; a date out of reach
        if batch.num_rows > 1:
            for index in range(batch.num_rows):
                yield from batch_values(batch.slice(index, 1))
        else:
            yield RowError("schema_encoding", f"a value that cannot be read ({error})")


def _aligned(source: str, names: Sequence[str], options: Options) -> list[str]:
    """Names of columns, spelt like the wanted ones where only case and spaces differ."""
    wanted = {name.lower(): name for name in (*COLUMNS, *options.columns.values())}
    names = [name.strip() for name in names]
    aligned = [wanted.get(name.lower(), name) for name in names]
    if len(set(aligned)) < len(aligned):
        aligned = names
    twice = [name for name in aligned if aligned.count(name) > 1]
    if twice:
        raise InputError(f"{source}: column {twice[0]!r} twice; each name may stand once")
    return aligned


def json_rows(path: Path, options: Options) -> Rows:
    """The elements of a JSON list, or of an object of lists: its keys are the splits.

    In a file without lines of its own, rows are counted from 1. The hub has files of JSON lines
    that are named so; they are read as what they are.
    """
    if options.split is None and are_lines(path):
        yield from json_lines(path, options)
        return
    splits: dict[str | None, None] = {}  # in the order of the file
    for number, (key, value) in enumerate(elements(path), 1):
        splits[key] = None
        if options.split is not None and key != options.split:
            continue
        if key is not None and key not in _NO_SPLITS and isinstance(value, dict):
            value = {**value, "split": value.get("split", key)}
        yield Where(path, number), value
    if options.split is not None and options.split not in splits:
        raise InputError(
            f"{path}: no split {options.split!r}; it has: {show_names(filter(None, splits))}"
        )


def _keys(path: Path, head: bytes) -> Sequence[str]:
    return list(first_record(path, head) or ())


def _header(path: Path, head: bytes) -> Sequence[str]:
    top = head.partition(b"\n")[0].decode("utf-8-sig", "replace")
    return [name.strip(' "\r').lower() for name in top.split(max(",;\t", key=top.count))]


def parquet_names(path: Path, head: bytes) -> Sequence[str]:
    """The names of the columns of a Parquet file; none where it is no such file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not head.startswith(b"PAR1"):
        return []
    try:
        return list(pq.read_schema(path).names)
    except (pa.ArrowException, OSError, ValueError):
        return []


FORMATS: dict[str, Format] = {
    table.name: table
    for table in (
        Table("jsonl", "one JSON object a line", (".jsonl", ".ndjson"), json_lines, _keys),
        Table("csv", "CSV with a header", (".csv", ".tsv"), csv_rows, _header),
        Table("parquet", "a Parquet file, or a folder of them", (".parquet", ".pq"), parquet_rows,
              parquet_names),
        Table("json", "a JSON list, or an object of lists", (".json",), json_rows, _keys,
              takes=frozenset({"columns", "split"})),
    )
}  # fmt: skip
