"""Answers on disk: chunks while a probe runs, one table when it is done."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lorepack.errors import InputError
from lorepack.files import atomic
from lorepack.probing.asking import Answers
from lorepack.probing.categories import CATEGORIES
from lorepack.probing.floor import Asked
from lorepack.probing.tally import Tally

ANSWERS = pa.schema(
    [
        ("id", pa.string()),
        ("greedy", pa.list_(pa.string())),
        ("sampled", pa.list_(pa.list_(pa.string()))),
    ]
)
LABELS = pa.schema(
    [
        ("id", pa.string()),
        ("category", pa.string()),
        ("k_greedy", pa.int32()),
        ("n_greedy", pa.int32()),
        ("k_sampled", pa.int32()),
        ("n_sampled", pa.int32()),
        ("refused", pa.int32()),
    ]
)
CONTROLS = pa.schema(
    [
        ("relation", pa.string()),
        ("question", pa.string()),
        ("greedy", pa.list_(pa.string())),
        ("refused", pa.int32()),
        ("sampled", pa.list_(pa.list_(pa.string()))),
    ]
)
LUCK = pa.schema([("id", pa.string()), ("luck", pa.float64())])
ROWS = 2048  # a row group of the final table, so that its bytes do not depend on the chunks
_MARK = b"lorepack"


def write_chunk(path: Path, answers: Answers, mark: dict[str, Any]) -> None:
    """Write a finished chunk; ``mark`` says what it belongs to."""
    schema = ANSWERS.with_metadata({_MARK: json.dumps(mark, sort_keys=True).encode()})
    _write(path, [_table(answers)], schema)


def read_chunk(path: Path) -> tuple[dict[str, Any], int] | None:
    """A chunk's mark and its number of rows; None where no whole chunk is."""
    try:
        with pq.ParquetFile(path) as file:
            return json.loads(file.schema_arrow.metadata[_MARK]), file.metadata.num_rows
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None


def merge_chunks(chunks: Iterable[Path], path: Path) -> None:
    """Join chunks into one table, a chunk at a time in memory."""
    tables = (_table(batch) for chunk in chunks for batch in read_answers(chunk))
    _write(path, tables, ANSWERS)


def read_answers(path: Path) -> Iterator[Answers]:
    """The answers of a table, some thousand facts at a time.

    Raises:
        InputError: the file is not whole.
    """
    for batch in read_batches(path, ROWS):
        columns = batch.to_pydict()
        yield Answers(columns["id"], columns["greedy"], columns["sampled"])


def read_batches(path: Path, rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, ``rows`` at a time.

    Raises:
        InputError: the file is missing or not whole.
    """
    try:
        with pq.ParquetFile(path) as file:
            yield from file.iter_batches(batch_size=rows)
    except (OSError, pa.ArrowException) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({first}); remove it and run again") from error


def write_labels(path: Path, ids: Sequence[str], codes: Sequence[int], tally: Tally) -> None:
    """Write ``categories.parquet``."""
    columns = [ids, [CATEGORIES[code] for code in codes]]
    counts = [getattr(tally, name) for name in LABELS.names[2:]]
    table = pa.Table.from_arrays(
        [pa.array(c, f.type) for c, f in zip([*columns, *counts], LABELS, strict=True)],
        schema=LABELS,
    )
    _write(path, [table], LABELS)


def write_controls(path: Path, questions: Sequence[str], asked: Sequence[Asked]) -> None:
    """Write ``controls.parquet``: control questions and what was answered to each."""
    columns = [
        [one.relation for one in asked],
        list(questions),
        [one.greedy for one in asked],
        [one.refused for one in asked],
        [one.sampled for one in asked],
    ]
    _write(path, [pa.table(columns, schema=CONTROLS)], CONTROLS)


def read_controls(path: Path) -> list[Asked]:
    """The answers to the control questions, in the order in which they were asked.

    Raises:
        InputError: the file is missing or not whole.
    """
    return [
        Asked(row["relation"], row["greedy"], row["sampled"], row["refused"])
        for batch in read_batches(path, ROWS)
        for row in batch.to_pylist()
    ]


def write_luck(path: Path, luck: Mapping[str, float]) -> None:
    """Write ``luck.parquet``."""
    _write(path, [pa.table([list(luck), list(luck.values())], schema=LUCK)], LUCK)


def read_luck(path: Path) -> dict[str, float]:
    """The luck of every fact whose relation has controls.

    Raises:
        InputError: the file is missing or not whole.
    """
    found: dict[str, float] = {}
    for batch in read_batches(path, 1 << 16):
        found.update(zip(batch["id"].to_pylist(), batch["luck"].to_pylist(), strict=True))
    return found


def write_table(path: Path, table: pa.Table) -> None:
    """Write a small table, whole or not at all."""
    _write(path, [table], table.schema)


def _table(answers: Answers) -> pa.Table:
    return pa.table([answers.ids, answers.greedy, answers.sampled], schema=ANSWERS)


def _write(path: Path, tables: Iterable[pa.Table], schema: pa.Schema) -> None:
    """Write tables in row groups of ``ROWS``: equal rows, equal bytes."""
    with atomic(path) as partial, pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        rest: pa.Table | None = None
        for table in tables:
            rest = table if rest is None else pa.concat_tables([rest, table])
            while rest.num_rows >= ROWS:
                writer.write_table(rest.slice(0, ROWS).combine_chunks())
                rest = rest.slice(ROWS)
        if rest is not None and rest.num_rows:
            writer.write_table(rest.combine_chunks())
