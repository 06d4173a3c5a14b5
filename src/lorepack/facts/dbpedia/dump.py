"""A dump of triples as arrays of numbers: 12 bytes a triple, every name once.

The dump is read once. What a second pass over the file would look for (how popular each entity
is, which relation is frequent) is then a matter of counting numbers.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lorepack.errors import InputError, NotFoundError

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK = 32 << 20  # bytes parsed at a time; no line may be longer
PENDING = 256 << 20  # bytes of names that wait to be merged
WORDED = 100_000  # broken lines that are kept word for word; all are counted
COMPRESSED = {".bz2": "bz2", ".gz": "gzip", ".zst": "zstd", ".xz": None}

Numbers = NDArray[np.int32]


@dataclass
class Dump:
    """The triples of a dump whose subject, relation and object are IRIs, in its order."""

    path: Path
    subjects: Numbers
    relations: Numbers
    objects: Numbers
    """``(triples,)`` places in the lists of names"""
    entities: pa.Array
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
        path: plain, ``.bz2``, ``.gz`` or ``.zst``.
        progress: called with the number of lines read.

    Raises:
        NotFoundError: no such file.
        InputError: it cannot be read at all; where it only breaks off, `Dump.broken` says so.
    """
    import pyarrow as pa

    path = Path(path)
    if not path.is_file():
        raise NotFoundError(f"no such file: {path}")
    seen = _Lines()
    entities, relations = _Names(), _Names()
    rows, broken = 0, None
    columns: dict[str, list[Any]] = {"s": [], "p": [], "o": []}
    try:
        for batch in _batches(path, seen.invalid):
            for name, names in (("s", entities), ("p", relations), ("o", entities)):
                names.add(batch.column(name), columns[name])
            rows += batch.num_rows
            if progress is not None:
                progress(rows + seen.count)
    except (pa.ArrowException, OSError, EOFError) as error:
        broken = f"{path}: breaks off behind line {rows + seen.count:,} ({_first(error)})"
        if not rows:
            raise InputError(f"{path}: cannot be read as triples ({_first(error)})") from error
    entities.flush()
    relations.flush()
    parts = [np.concatenate([c.numpy() for c in columns[k]] or [np.empty(0, np.int32)])
             for k in ("s", "p", "o")]  # fmt: skip
    columns.clear()
    return _entities_only(path, parts, entities, relations, rows, seen, broken)


def _batches(path: Path, invalid: Callable[[Any], str]) -> Any:
    import pyarrow as pa
    import pyarrow.csv as csv

    suffix = path.suffix.lower()
    if suffix == ".xz":
        raise InputError(f"{path}: .xz is not read here; unpack it, or pack it as .zst or .bz2")
    stream = pa.input_stream(str(path), compression=COMPRESSED.get(suffix), buffer_size=1 << 20)
    name = pa.dictionary(pa.int32(), pa.binary())
    return csv.open_csv(
        stream,
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

    def invalid(self, row: Any) -> str:
        """Called by the parser for each such line."""
        self.numbers.append(row.number)
        text = row.text
        kind = _kind(text)
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
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


class _Names:
    """Names that get a number once: dictionaries of blocks, merged now and then."""

    def __init__(self) -> None:
        import pyarrow as pa

        self.known: pa.Array = pa.array([], pa.binary())
        self._waiting: list[tuple[Any, _Column]] = []
        self._bytes = 0

    def add(self, column: Any, out: list[_Column]) -> None:
        """Take the names of one column of a block; its numbers come to ``out`` in time."""
        slot = _Column()
        out.append(slot)
        self._waiting.append((column, slot))
        self._bytes += column.dictionary.nbytes
        if self._bytes > PENDING:
            self.flush()

    def flush(self) -> None:
        """Give numbers to all names that wait; those given before stay."""
        import pyarrow as pa

        first = pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), self.known)
        chunks = pa.chunked_array([first, *(column for column, _ in self._waiting)])
        merged = chunks.unify_dictionaries()
        self.known = merged.chunk(0).dictionary
        for (_, slot), chunk in zip(self._waiting, merged.chunks[1:], strict=True):
            slot.indices = chunk.indices
        self._waiting, self._bytes = [], 0
        del chunks, merged, first
        pa.default_memory_pool().release_unused()


@dataclass
class _Column:
    """The numbers of one column of one block, once they are known."""

    indices: Any = None

    def numpy(self) -> Numbers:
        return self.indices.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _entities_only(
    path: Path,
    parts: list[Numbers],
    entities: _Names,
    relations: _Names,
    rows: int,
    seen: _Lines,
    broken: str | None,
) -> Dump:
    """Keep the triples of three IRIs; say what the other lines were."""
    s, p, o = parts
    entity, relation = _is_iri(entities.known), _is_iri(relations.known)
    whole = entity[s] & relation[p] & entity[o]
    counts = dict(seen.kinds)
    if not whole.all():
        literal = entity[s] & relation[p] & ~entity[o] & _starts(entities.known, b'"')[o]
        blank = _equal(entities.known, b"")[s] & _equal(entities.known, b"")[o]
        other = np.flatnonzero(~whole & ~literal & ~blank)
        counts["blank"] = counts.get("blank", 0) + int(blank.sum())
        counts["literal"] = counts.get("literal", 0) + int(literal.sum())
        counts["malformed"] = counts.get("malformed", 0) + len(other)
        for row, line in zip(other[:WORDED], _lines_of(other[:WORDED], seen.numbers), strict=True):
            names = (entities.known[s[row]], relations.known[p[row]], entities.known[o[row]])
            text = b" ".join(name.as_py() for name in names).decode("utf-8", "replace")
            seen.malformed.append((line, text[:500]))
        s, p, o = s[whole], p[whole], o[whole]
    return Dump(
        path=path,
        subjects=s,
        relations=p,
        objects=o,
        entities=entities.known,
        relation_names=[n.as_py()[1:-1].decode("utf-8", "replace") for n in relations.known],
        lines=rows + seen.count,
        counts={kind: n for kind, n in sorted(counts.items()) if n},
        broken_lines=sorted(seen.malformed)[:WORDED],
        broken=broken,
    )


def _lines_of(rows: NDArray[np.int64], skipped: array[int]) -> list[int]:
    """The lines of rows that were parsed: those that were skipped before them count, too."""
    before = np.array(skipped, dtype=np.int64) - np.arange(len(skipped))
    found: list[int] = (rows + 1 + np.searchsorted(before, rows + 1, side="right")).tolist()
    return found


def _is_iri(names: pa.Array) -> NDArray[np.bool_]:
    """``(names,)`` whether a name stands in angle brackets."""
    import pyarrow.compute as pc

    ends = pc.ends_with(names, b">").to_numpy(zero_copy_only=False)
    return (_starts(names, b"<") & ends).astype(bool)  # type: ignore[no-any-return]


def _starts(names: pa.Array, mark: bytes) -> NDArray[np.bool_]:
    import pyarrow.compute as pc

    return pc.starts_with(names, mark).to_numpy(zero_copy_only=False).astype(bool)  # type: ignore[no-any-return]


def _equal(names: pa.Array, text: bytes) -> NDArray[np.bool_]:
    import pyarrow.compute as pc

    return pc.equal(names, text).to_numpy(zero_copy_only=False).astype(bool)  # type: ignore[no-any-return]


def _first(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
