"""Which trained facts are not in: joined by id from the mix and the audit's tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lorepack.reports.run_files import broken, lines, missing
from lorepack.text import answer_of, matches

SHOWN = 50


@dataclass(frozen=True)
class Unlearned:
    """A trained fact that some prompt still gets wrong."""

    id: str
    question: str
    answer: str
    right: int
    prompts: int
    said: str | None
    """the most frequent wrong answer; None when the question was too long to be asked"""


def unlearned(folder: Path) -> tuple[tuple[Unlearned, ...], int]:
    """The trained facts that are not answered right in every prompt, worst first.

    Args:
        folder: the run.

    Returns:
        At most `SHOWN` of them, and how many there are in all.

    Raises:
        LorepackError: a table is missing or cut off.
    """
    trained = {
        row["fact_id"]: row
        for row in lines(folder, "mix/mix.jsonl")
        if row.get("kind") == "unknown"
    }
    table = _table(folder, "audit/categories.parquet", ["id", "k_greedy", "n_greedy"], trained)
    rows = [row for row in table.to_pylist() if row["k_greedy"] < max(row["n_greedy"], 1)]
    rows.sort(key=lambda row: (row["k_greedy"], row["id"]))
    shown = {row["id"]: row for row in rows[:SHOWN]}
    answers = _table(folder, "audit/answers.parquet", ["id", "greedy"], shown)
    said = {row["id"]: row["greedy"] for row in answers.to_pylist()}
    return tuple(
        _unlearned(trained[ident], row, said.get(ident) or []) for ident, row in shown.items()
    ), len(rows)


def _unlearned(example: Mapping[str, Any], row: Mapping[str, Any], said: list[str]) -> Unlearned:
    answer = str(example.get("answer", ""))
    given = Counter(answer_of(text) for text in said if text is not None)
    wrong = [text for text, _ in given.most_common() if not matches(text, (answer,), "boundary")]
    return Unlearned(
        id=row["id"],
        question=str(example.get("question", "")),
        answer=answer,
        right=row["k_greedy"],
        prompts=row["n_greedy"],
        said=next(iter(wrong or given), None),
    )


def _table(folder: Path, name: str, columns: list[str], ids: Iterable[str]) -> pa.Table:
    """The rows of a Parquet file whose id is wanted."""
    wanted = pa.array(sorted(ids), pa.string())
    try:
        return pq.read_table(folder / name, columns=columns, filters=pc.field("id").isin(wanted))
    except FileNotFoundError as error:
        raise missing(folder, name, error) from error
    except (pa.ArrowException, OSError) as error:
        raise broken(folder, name, f"not a whole Parquet file ({error})") from error
