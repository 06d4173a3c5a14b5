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
from lorepack.facts.dbpedia.stream import MARK, Mended, held_interrupts

if TYPE_CHECKING:
    import pyarrow as pa

Kinds = NDArray[np.uint8]

BLOCK = 8 << 20  # bytes parsed at a time (the parser reads 32 of them ahead); no line is longer
WORDED = 100_000  # broken lines that are kept word for word; all are counted
BROKEN = {"malformed": "no triple", "schema_encoding": "no valid UTF-8"}
"""what is wrong with a broken line, by its kind"""


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
    broken_lines: list[tuple[int, str, str]] = field(default_factory=list)
    """number, kind (of `BROKEN`) and text of those that are broken"""
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
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected one file")
    if not path.is_file():
        raise NotFoundError(f"no such file: {path}")
    read, stream = _Reading(), Mended(path)
    told: BaseException | None = None
    with held_interrupts() as let_through:
        import pyarrow as pa  # an interrupt would leave it half imported

        try:
            for batch in _batches(stream, read.lines.invalid):
                let_through()
                read.lines.raise_lost()
                read.take(batch, stream.marked)
                if progress is not None:
                    progress(read.rows + read.lines.count)
        except (pa.ArrowException, OSError) as error:
            let_through()
            told = error
    read.lines.raise_lost()
    told = stream.error or told
    if told and not read.rows:
        raise InputError(f"{path}: cannot be read as triples ({_first(told)})") from told
    dump = read.dump(path)
    if told:
        dump.broken = f"{path}: breaks off behind line {dump.lines:,} ({_first(told)})"
    return dump


def _batches(stream: Mended, invalid: Callable[[Any], str]) -> Any:
    import pyarrow as pa
    import pyarrow.csv as csv

    name = pa.dictionary(pa.int32(), pa.binary())
    return csv.open_csv(
        pa.PythonFile(stream, "r"),
        read_options=csv.ReadOptions(
            use_threads=False, block_size=BLOCK, column_names=["s", "p", "o", "dot"]
        ),
        parse_options=csv.ParseOptions(
            delimiter=" ", quote_char=False, escape_char=False, ignore_empty_lines=False,
            invalid_row_handler=invalid,
        ),
        convert_options=csv.ConvertOptions(
            column_types={"s": name, "p": name, "o": name, "dot": pa.binary()},
            strings_can_be_null=False, check_utf8=False,
        ),
    )  # fmt: skip


@dataclass
class _Lines:
    """The lines that do not have four parts."""

    numbers: array[int] = field(default_factory=lambda: array("q"))
    kinds: dict[str, int] = field(default_factory=dict)
    broken: list[tuple[int, str, str]] = field(default_factory=list)
    lost: BaseException | None = None
    """what was raised while the parser called, which it would lose"""

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.numbers)

    def add(self, kind: str, count: int) -> None:
        """Count lines of a kind."""
        self.kinds[kind] = self.kinds.get(kind, 0) + count

    def invalid(self, row: Any) -> str:
        """Called by the parser for each such line."""
        try:
            kind = _kind(row.text)
            self.numbers.append(row.number)
            self.add(kind, 1)
            if kind in BROKEN and len(self.broken) < WORDED:
                self.broken.append((row.number, kind, _shown(row.text)))
        except BaseException as error:
            self.lost = self.lost or error
        return "skip"

    def raise_lost(self) -> None:
        """Raise what was raised while the parser called."""
        if self.lost is not None:
            raise self.lost


def _kind(text: str) -> str:
    bare = text.strip()
    if not bare:
        return "blank"
    if bare.startswith(("#", "@prefix", "@base", "PREFIX", "BASE")):
        return "comment"
    if MARK.decode() in text:
        return "schema_encoding"
    parts = bare.split(" ", 2)
    literal = len(parts) == 3 and parts[2].startswith('"') and bare.endswith(".")
    return "literal" if literal else "malformed"


def _shown(text: str) -> str:
    return text[:500].replace(MARK.decode(), "\N{REPLACEMENT CHARACTER}")


_OTHER, _IRI, _LITERAL, _EMPTY, _GARBLED, _DOT, _DOTTED = range(7)
_TRIPLE = (_IRI, _IRI, _IRI, _DOT)
_SET_ASIDE = ("schema_encoding", "blank", "literal", "malformed")


class _Reading:
    """What was read so far: the triples of three IRIs, and what the other rows were."""

    def __init__(self) -> None:
        self.lines = _Lines()
        self.rows = 0
        self._entities, self._relations = Names(), Names()
        self._triples: list[list[Numbers]] = [[], [], []]
        self._broken: list[tuple[int, str, bytes]] = []

    def take(self, batch: pa.RecordBatch, marked: bool) -> None:
        """Take the rows of a block.

        Args:
            batch: columns of three names and what ends a line.
            marked: whether a `MARK` may be in them.
        """
        known = (self._entities, self._relations, self._entities)
        parts = [
            _Part(column, names, marked)
            for column, names in zip(batch.columns, known, strict=False)
        ]
        kinds = [*(part.kinds for part in parts), _endings(batch.column(3), marked)]
        whole = _all(kind == wanted for kind, wanted in zip(kinds, _TRIPLE, strict=True))
        for part, triples in zip(parts, self._triples, strict=True):
            triples.append(part.numbers[whole])
        if not whole.all():
            rows = np.flatnonzero(~whole)
            self._set_aside(rows, [kind[rows] for kind in kinds], batch)
        self.rows += batch.num_rows

    def _set_aside(self, rows: NDArray[np.int64], kinds: list[Kinds], batch: Any) -> None:
        s, p, o, end = kinds
        garbled = np.logical_or.reduce([kind == _GARBLED for kind in kinds])
        blank = _all(kind == _EMPTY for kind in kinds)
        literal = (s == _IRI) & (p == _IRI) & (o == _LITERAL) & (end >= _DOT)
        which = np.select([garbled, blank, literal], [0, 1, 2], 3)
        for kind, count in zip(_SET_ASIDE, np.bincount(which, minlength=4), strict=True):
            self.lines.add(kind, int(count))
        broken = np.flatnonzero((which == 0) | (which == 3))[: WORDED - len(self._broken)]
        for row, place in zip(rows[broken].tolist(), which[broken], strict=True):
            text = b" ".join(column[row].as_py() for column in batch.columns)
            self._broken.append((self.rows + row, _SET_ASIDE[place], text[:2_000]))

    def dump(self, path: Path) -> Dump:
        """The whole, at the end; this is empty afterwards."""
        columns = []
        for triples in self._triples:
            columns.append(np.concatenate([*triples, np.empty(0, np.int32)]))
            triples.clear()
        rows = np.array([row for row, *_ in self._broken], np.int64)
        places = _lines_of(rows, self.lines.numbers)
        told = [
            (line, kind, _shown(text.decode("utf-8", "replace")))
            for line, (_, kind, text) in zip(places, self._broken, strict=True)
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
            broken_lines=sorted([*self.lines.broken, *told])[:WORDED],
        )


class _Part:
    """One column of a block."""

    def __init__(self, column: Any, names: Names, marked: bool) -> None:
        indices = column.indices.to_numpy()
        self.numbers: Numbers = names.numbers(column.dictionary)[indices]
        self.kinds = _kinds(column.dictionary, marked)[indices]


def _kinds(names: pa.BinaryArray, marked: bool) -> Kinds:
    """``(names,)`` what each name is, by its first and last sign."""
    first, last, length = marks(names)
    kinds = np.full(len(names), _OTHER, np.uint8)
    kinds[(first == ord("<")) & (last == ord(">"))] = _IRI
    kinds[first == ord('"')] = _LITERAL
    kinds[length == 0] = _EMPTY
    return _garbled(names, kinds) if marked else kinds


def _endings(ends: pa.BinaryArray, marked: bool) -> Kinds:
    """``(lines,)`` whether each ends with a dot: alone, or behind something."""
    _, last, length = marks(ends)
    kinds = np.where(last == ord("."), np.where(length == 1, _DOT, _DOTTED), _OTHER)
    kinds = np.where(length == 0, _EMPTY, kinds).astype(np.uint8)
    return _garbled(ends, kinds) if marked else kinds


def _garbled(texts: pa.BinaryArray, kinds: Kinds) -> Kinds:
    import pyarrow.compute as pc

    kinds[pc.match_substring(texts, MARK).to_numpy(zero_copy_only=False)] = _GARBLED
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
