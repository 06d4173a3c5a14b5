"""Writing facts to a file, streaming, whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, cast

from lorepack import files
from lorepack.errors import InputError
from lorepack.facts.fact import COLUMNS, Fact
from lorepack.facts.rows import LISTS
from lorepack.facts.sources import format_of

_ORDER = ("id", *(name for name in COLUMNS if name != "id"))


def write(path: Path | str, facts: Iterable[Fact]) -> int:
    """Write facts so that `read` gives the same ones back; equal facts, equal bytes.

    Args:
        path: ``.jsonl``, ``.csv`` (each also ``.gz``) or ``.parquet``; says the format.
        facts: any iterable; it is consumed as it comes.

    Returns:
        How many were written.

    Raises:
        InputError: no known format, or a fact that could not be read again.
        WriteError: no space, no permission.
    """
    path = Path(path)
    kind = format_of(path)
    writers: dict[str, Callable[[Path, Iterable[Fact]], int]] = {
        "jsonl": _write_jsonl,
        "csv": _write_csv,
        "parquet": _write_parquet,
    }
    with files.atomic(path) as partial:
        return writers[kind](partial, _checked(facts))


def _checked(facts: Iterable[Fact]) -> Iterator[Fact]:
    for number, fact in enumerate(facts, 1):
        if not (fact.question.strip() and fact.answer.strip()):
            raise InputError(f"fact {number} (id {fact.id}) has no question or no answer")
        if fact.popularity is not None and not math.isfinite(fact.popularity):
            raise InputError(f"fact {number} (id {fact.id}): popularity {fact.popularity}")
        yield fact


@contextlib.contextmanager
def _text_file(partial: Path) -> Iterator[IO[str]]:
    """A UTF-8 text file, zipped where its final name says so, without date or name inside."""
    with contextlib.ExitStack() as stack:
        raw: IO[bytes] = stack.enter_context(open(partial, "wb"))
        if partial.name.lower().endswith(".gz.partial"):
            zipped = gzip.GzipFile("", "wb", fileobj=raw, mtime=0)
            raw = cast(IO[bytes], stack.enter_context(zipped))
        text = io.TextIOWrapper(raw, encoding="utf-8", newline="")
        try:
            yield text
            text.flush()
        except UnicodeEncodeError as error:
            raise InputError(
                f"a fact holds text that is not valid Unicode ({error.object[:40]!r})"
            ) from None
        finally:
            with contextlib.suppress(OSError, ValueError, UnicodeEncodeError):
                text.detach()


def _write_jsonl(partial: Path, facts: Iterable[Fact]) -> int:
    count = 0
    with _text_file(partial) as handle:
        for count, fact in enumerate(facts, 1):  # noqa: B007 - the last number is the count
            handle.write(json.dumps(fact.to_json(), ensure_ascii=False, allow_nan=False) + "\n")
    return count


def _write_csv(partial: Path, facts: Iterable[Fact]) -> int:
    count = 0
    with _text_file(partial) as handle:
        table = csv.writer(handle)
        table.writerow(_ORDER)
        for count, fact in enumerate(facts, 1):  # noqa: B007
            table.writerow([_cell(name, getattr(fact, name)) for name in _ORDER])
    return count


def _cell(name: str, value: object) -> object:
    if name in LISTS:
        return json.dumps(value, ensure_ascii=False) if value else ""
    return value


def _write_parquet(partial: Path, facts: Iterable[Fact]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {name: pa.list_(pa.string()) if name in LISTS else pa.string() for name in _ORDER}
    schema = pa.schema({**types, "popularity": pa.float64()})
    stream, count = iter(facts), 0
    with pq.ParquetWriter(partial, schema, compression="zstd") as table:
        while batch := list(islice(stream, 65_536)):
            columns = {name: [getattr(fact, name) for fact in batch] for name in _ORDER}
            try:
                table.write_table(pa.table(columns, schema=schema))
            except (pa.ArrowInvalid, UnicodeEncodeError) as error:
                raise InputError(f"facts that cannot be written as Parquet ({error})") from None
            count += len(batch)
    return count
