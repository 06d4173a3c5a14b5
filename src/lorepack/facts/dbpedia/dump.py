"""A dump of triples as arrays of numbers: 12 bytes a triple, every name once.

The dump is read once. What a second pass over the file would look for (how popular each entity
is, which relation is frequent) is then a matter of counting numbers.
"""

from __future__ import annotations

import functools
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lorepack.errors import InputError, NotFoundError
from lorepack.facts.dbpedia.names import Names, Numbers, marks
from lorepack.facts.packed import Salvaged, is_packed

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 8 << 20  # bytes parsed at a time (the parser reads 32 of them ahead); no line is longer
WORDED = 100_000  # broken lines that are kept word for word; all are counted


@dataclass
class Dump:
    """The triples of a dump whose subject, relation and object are IRIs, in its order."""

    path: Path
    subjects: Numbers
    relations: Numbers
    objects: Numbers
    """``(triples,)`` places in the lists of names"""
    entities: pa.ChunkedArray
    """names of subjects and objects: IRIs in angle brackets, as bytes"""
    relation_names: list[str]
    """IRIs without brackets"""
    lines: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """lines that hold no such triple, by what they are"""
    broken_lines: list[tuple[int, str]] = field(default_factory=list)
    """number and text of the malformed ones"""
    broken: str | None = None
    """why reading stopped before the end"""

    def name(self, entity: int) -> str:
        """The IRI of an entity, without brackets."""
        text: bytes = self.entities[int(entity)].as_py()
        return text[1:-1].decode("utf-8", "replace")


def read_dump(path: Path | str, progress: Callable[[int], None] | None = None) -> Dump:
    """Read N-Triples, or Turtle that writes one triple of full IRIs a line.

    Args:
        path: plain, ``.bz2``, ``.gz``, ``.xz`` or ``.zst``.
        progress: called with the number of lines read.

    Raises:
        NotFoundError: no such file.
        InputError: it cannot be read at all; where it only breaks off, `Dump.broken` says so.
    """
    import pyarrow as pa

    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected one file")
    if not path.is_file():
        raise NotFoundError(f"no such file: {path}")
    read, stream = _Reading(), Salvaged(path) if is_packed(path) else None
    told: BaseException | None = None
    try:
        for batch in _batches(path, stream, read.lines.invalid):
            read.take(batch)
            if progress is not None:
                progress(read.rows + read.lines.count)
    except (pa.ArrowException, OSError) as error:
        told = error
    told = (stream and stream.error) or told
    if told and not read.rows:
        raise InputError(f"{path}: cannot be read as triples ({_first(told)})") from told
    dump = read.dump(path)
    if told:
        dump.broken = f"{path}: breaks off behind line {dump.lines:,} ({_first(told)})"
    return dump


def _batches(path: Path, stream: Salvaged | None, invalid: Callable[[Any], str]) -> Any:
    import pyarrow as pa
    import pyarrow.csv as csv

    name = pa.dictionary(pa.int32(), pa.binary())
    return csv.open_csv(
        pa.PythonFile(stream, "r") if stream else pa.OSFile(str(path)),
        read_options=csv.ReadOptions(
            use_threads=False, block_size=BLOCK, column_names=["s", "p", "o", "dot"]
        ),
        parse_options=csv.ParseOptions(
            delimiter=" ", quote_char=False, escape_char=False, ignore_empty_lines=False,
            invalid_row_handler=invalid,
        ),
        convert_options=csv.ConvertOptions(
            column_types={"s": name, "p": name, "o": name, "dot": name},
            strings_can_be_null=False, check_utf8=False, include_columns=["s", "p", "o"],
        ),
    )  # fmt: skip


@dataclass
class _Lines:
    """The lines that do not have four parts."""

    numbers: array[int] = field(default_factory=lambda: array("q"))
    kinds: dict[str, int] = field(default_factory=dict)
    malformed: list[tuple[int, str]] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.numbers)

    def add(self, kind: str, count: int) -> None:
        """Count lines of a kind."""
        self.kinds[kind] = self.kinds.get(kind, 0) + count

    def invalid(self, row: Any) -> str:
        """Called by the parser for each such line."""
        self.numbers.append(row.number)
        text = row.text
        kind = _kind(text)
        self.add(kind, 1)
        if kind == "malformed" and len(self.malformed) < WORDED:
            self.malformed.append((row.number, text[:500]))
        return "skip"


def _kind(text: str) -> str:
    bare = text.strip()
    if not bare:
        return "blank"
    if bare.startswith(("#", "@prefix", "@base", "PREFIX", "BASE")):
        return "comment"
    parts = bare.split(" ", 2)
    literal = len(parts) == 3 and parts[2].startswith('"') and bare.endswith(".")
    return "literal" if literal else "malformed"


_OTHER, _IRI, _LITERAL, _EMPTY = range(4)


class _Reading:
    """What was read so far: the triples of three IRIs, and what the other rows were."""

    def __init__(self) -> None:
        self.lines = _Lines()
        self.rows = 0
        self._entities, self._relations = Names(), Names()
        self._triples: list[list[Numbers]] = [[], [], []]
        self._broken: list[tuple[int, bytes]] = []

    def take(self, batch: pa.RecordBatch) -> None:
        """Take the rows of a block."""
        known = (self._entities, self._relations, self._entities)
        parts = [_Part(column, names) for column, names in zip(batch.columns, known, strict=True)]
        whole = _all(part.kinds == _IRI for part in parts)
        for part, triples in zip(parts, self._triples, strict=True):
            triples.append(part.numbers[whole])
        if not whole.all():
            self._set_aside(np.flatnonzero(~whole), parts)
        self.rows += batch.num_rows

    def _set_aside(self, rows: NDArray[np.int64], parts: list[_Part]) -> None:
        s, p, o = (part.kinds[rows] for part in parts)
        blank = (s == _EMPTY) & (o == _EMPTY)
        literal = (s == _IRI) & (p == _IRI) & (o == _LITERAL)
        other = rows[~blank & ~literal]
        self.lines.add("blank", int(blank.sum()))
        self.lines.add("literal", int(literal.sum()))
        self.lines.add("malformed", len(other))
        for row in other[: WORDED - len(self._broken)].tolist():
            text = b" ".join(part.column[row].as_py() for part in parts)
            self._broken.append((self.rows + row, text[:2_000]))

    def dump(self, path: Path) -> Dump:
        """The whole, at the end; this is empty afterwards."""
        columns = []
        for triples in self._triples:
            columns.append(np.concatenate([*triples, np.empty(0, np.int32)]))
            triples.clear()
        rows = np.array([row for row, _ in self._broken], np.int64)
        places = _lines_of(rows, self.lines.numbers)
        told = [
            (line, text.decode("utf-8", "replace")[:500])
            for line, (_, text) in zip(places, self._broken, strict=True)
        ]
        iris = (name.as_py()[1:-1] for name in self._relations.all())
        return Dump(
            path=path,
            subjects=columns[0],
            relations=columns[1],
            objects=columns[2],
            entities=self._entities.all(),
            relation_names=[iri.decode("utf-8", "replace") for iri in iris],
            lines=self.rows + self.lines.count,
            counts={kind: n for kind, n in sorted(self.lines.kinds.items()) if n},
            broken_lines=sorted([*self.lines.malformed, *told])[:WORDED],
        )


class _Part:
    """One column of a block."""

    def __init__(self, column: Any, names: Names) -> None:
        indices = column.indices.to_numpy()
        self.column = column
        self.numbers: Numbers = names.numbers(column.dictionary)[indices]
        self.kinds = _kinds(column.dictionary)[indices]


def _kinds(names: pa.BinaryArray) -> NDArray[np.uint8]:
    """``(names,)`` what each name is, by its first and last sign."""
    first, last, length = marks(names)
    kinds = np.full(len(names), _OTHER, np.uint8)
    kinds[(first == ord("<")) & (last == ord(">"))] = _IRI
    kinds[first == ord('"')] = _LITERAL
    kinds[length == 0] = _EMPTY
    return kinds


def _all(parts: Iterable[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    return functools.reduce(np.logical_and, parts)


def _lines_of(rows: NDArray[np.int64], skipped: array[int]) -> list[int]:
    """The lines of rows that were parsed: those that were skipped before them count, too."""
    before = np.array(skipped, dtype=np.int64) - np.arange(len(skipped))
    found: list[int] = (rows + 1 + np.searchsorted(before, rows + 1, side="right")).tolist()
    return found


def _first(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
