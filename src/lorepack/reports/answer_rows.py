"""Which facts the answer browser shows, and what is known of each: joined by id, as a stream.

Every fact whose category changed comes first, then those of the mix, then an even choice of the
rest; the choice hangs on the ids alone. Only what is chosen is held.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lorepack.reports import details
from lorepack.reports.form import CATEGORIES
from lorepack.reports.run_files import RunFiles, broken, lines, missing
from lorepack.text import Matcher, answer_of

BEFORE, AFTER = "probe", "audit"
LONGEST = 240
"""characters of a question or an answer; longer ones end with an ellipsis"""
UNTRAINED, TRAINED, REHEARSED = range(3)
Said = list[tuple[str, int, bool]]
"""(answer, how often, whether it is right), the most usual first"""


@dataclass
class Row:
    """One fact and what was said to it."""

    id: str
    category: dict[str, int]
    """``probe`` and ``audit`` -> index into CATEGORIES"""
    right: dict[str, tuple[int, int]]
    """``probe`` and ``audit`` -> (right prompts, prompts)"""
    part: int
    """UNTRAINED, TRAINED or REHEARSED"""
    question: str = ""
    answer: str = ""
    relation: str = ""
    causes: tuple[str, ...] | None = None
    """None when causes were not looked for in this fact"""
    said: dict[str, Said] = field(default_factory=lambda: {BEFORE: [], AFTER: []})

    @property
    def move(self) -> int:
        """Steps down: above 0 known worse than before, below 0 better."""
        return self.category[AFTER] - self.category[BEFORE]


@dataclass(frozen=True)
class Chosen:
    """The rows that are shown, in the order of the file of facts."""

    rows: tuple[Row, ...]
    facts: int
    changed: int
    """of all facts"""
    causes: bool
    """whether the audit looked for causes"""


def chosen(found: RunFiles, most: int) -> Chosen:
    """The facts to show.

    Args:
        found: the files of a run.
        most: how many at most.

    Returns:
        The rows, all facts' number and how many of them changed.

    Raises:
        LorepackError: a table is missing or cut off, or the tables do not hold the same facts.
    """
    picked, facts, changed = _pick(found, most)
    rows = {row.id: row for row in picked}
    causes = _causes(found, rows)
    matchers = _facts(found, rows)
    for when in (BEFORE, AFTER):
        _answers(found.folder, when, rows, matchers)
    ordered = tuple(rows[ident] for ident in matchers)
    return Chosen(ordered, facts, changed, causes)


def _pick(found: RunFiles, most: int) -> tuple[list[Row], int, int]:
    names = ["id", "category", "k_greedy", "n_greedy"]
    before, after = (_read(found.folder, f"{when}/categories.parquet", names)
                     for when in (BEFORE, AFTER))  # fmt: skip
    place = pc.index_in(before["id"], value_set=after["id"].combine_chunks())
    if place.null_count or len(before) != len(after):
        raise broken(found.folder, "audit/categories.parquet", "lacks facts of the probe")
    after = after.take(place)
    codes = {
        when: np.asarray(pc.index_in(table["category"], value_set=pa.array(CATEGORIES)))
        for when, table in ((BEFORE, before), (AFTER, after))
    }  # (facts,)
    if any(code.dtype.kind != "i" for code in codes.values()):
        raise broken(found.folder, "audit/categories.parquet", "holds a category unknown here")
    part = _parts(found, before["id"])  # (facts,)
    moved = codes[BEFORE] != codes[AFTER]
    order = np.lexsort((_scatter(before["id"]), part == UNTRAINED, ~moved))[:most]
    tables = {BEFORE: before.take(order), AFTER: after.take(order)}
    counts = {when: list(zip(table["k_greedy"].to_pylist(), table["n_greedy"].to_pylist(),
                             strict=True)) for when, table in tables.items()}  # fmt: skip
    rows = [
        Row(ident, {when: int(codes[when][at]) for when in codes},
            {when: counts[when][n] for when in counts}, int(part[at]))
        for n, (ident, at) in enumerate(
            zip(tables[BEFORE]["id"].to_pylist(), order.tolist(), strict=True)
        )
    ]  # fmt: skip
    return rows, len(before), int(moved.sum())


def _parts(found: RunFiles, ids: pa.ChunkedArray) -> np.ndarray:
    part = np.full(len(ids), UNTRAINED)
    for code, key in ((REHEARSED, "known"), (TRAINED, "trained")):
        members = pa.array(found.mix.get(key) or (), pa.string())
        part[np.asarray(pc.is_in(ids, value_set=members))] = code
    return part


def _scatter(ids: pa.ChunkedArray) -> np.ndarray:
    """A number from each id that has nothing to do with its place: (facts,)."""
    return np.array([zlib.crc32(ident.encode()) for ident in ids.to_pylist()], dtype=np.uint32)


def _causes(found: RunFiles, rows: dict[str, Row]) -> bool:
    """Put the causes of shifts into the rows; returns whether they were looked for."""
    name = "audit/causes.parquet"
    if not (found.folder / name).is_file():
        return False
    table = _read(found.folder, name, ["id", "causes"])
    for ident, causes in zip(table["id"].to_pylist(), table["causes"].to_pylist(), strict=True):
        if ident in rows:
            rows[ident].causes = tuple(causes or ())
    return True


def _facts(found: RunFiles, rows: dict[str, Row]) -> dict[str, Matcher]:
    """Put questions and answers into the rows; returns what counts as right, in file order."""
    rule, matchers = details.rule(found), {}
    for fact in lines(found.folder, "facts.jsonl"):
        row = rows.get(str(fact.get("id")))
        if row is None:
            continue
        answer = str(fact.get("answer", ""))
        row.question, row.answer = clipped(str(fact.get("question", ""))), clipped(answer)
        row.relation = clipped(str(fact.get("relation") or ""))
        matchers[row.id] = Matcher((answer, *map(str, fact.get("aliases") or ())), rule)
    if absent := sorted(rows.keys() - matchers.keys()):
        raise broken(found.folder, "facts.jsonl", f"lacks fact {absent[0]}")
    return matchers


def _answers(
    folder: Path, when: str, rows: dict[str, Row], matchers: dict[str, Matcher]
) -> None:  # fmt: skip
    for ident, texts in _greedy(folder, f"{when}/answers.parquet", set(rows)):
        right = matchers[ident]
        said: Counter[tuple[str, bool]] = Counter(
            (clipped(answer_of(text)), right(text)) for text in texts or () if text is not None
        )
        ranked = sorted(said.items(), key=lambda item: (-item[1], item[0]))
        rows[ident].said[when] = [(text, times, good) for (text, good), times in ranked]


def _greedy(folder: Path, name: str, ids: set[str]) -> Iterator[tuple[str, list[str | None]]]:
    """(id, greedy answers) of the wanted facts, a batch of the file at a time."""
    wanted = pa.array(sorted(ids), pa.string())
    try:
        with pq.ParquetFile(folder / name) as file:
            for batch in file.iter_batches(8192, columns=["id", "greedy"]):
                kept = batch.filter(pc.is_in(batch["id"], value_set=wanted))
                yield from zip(kept["id"].to_pylist(), kept["greedy"].to_pylist(), strict=True)
    except FileNotFoundError as error:
        raise missing(folder, name, error) from error
    except (pa.ArrowException, OSError, KeyError) as error:
        raise broken(folder, name, f"not a whole Parquet file ({error})") from error


def _read(folder: Path, name: str, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(folder / name, columns=columns)
    except FileNotFoundError as error:
        raise missing(folder, name, error) from error
    except (pa.ArrowException, OSError) as error:
        raise broken(folder, name, f"not a whole Parquet file ({error})") from error


def clipped(text: Any) -> str:
    """Text on one line, cut with an ellipsis when it is long."""
    flat = " ".join(str(text).split())
    return flat if len(flat) <= LONGEST else flat[: LONGEST - 1] + "…"
