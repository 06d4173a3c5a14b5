"""Which trained facts are not in: joined by id from the facts and the audit's tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lorepack.reports import details
from lorepack.reports.run_files import RunFiles, broken, lines, missing
from lorepack.text import Matcher, answer_of

SHOWN = 50
FACTS = "facts.jsonl"


@dataclass(frozen=True)
class Unlearned:
    """A trained fact that some prompt still gets wrong."""

    id: str
    question: str
    answer: str
    right: int
    prompts: int
    said: str | None
    """the most frequent wrong answer; None when the prompts were too long to be asked"""


def unlearned(found: RunFiles) -> tuple[tuple[Unlearned, ...], int]:
    """The trained facts that are not answered right in every prompt, worst first.

    Args:
        found: the files of a run.

    Returns:
        At most `SHOWN` of them, and how many there are in all.

    Raises:
        LorepackError: a table is missing or cut off, or lacks a trained fact.
    """
    folder, facts = found.folder, _trained(found)
    table = _table(folder, "audit/categories.parquet", ["id", "k_greedy", "n_greedy"], facts)
    rows = [row for row in table.to_pylist() if row["k_greedy"] < max(row["n_greedy"], 1)]
    rows.sort(key=lambda row: (row["k_greedy"], row["id"]))
    shown = {row["id"]: row for row in rows[:SHOWN]}
    answers = _table(folder, "audit/answers.parquet", ["id", "greedy"], shown)
    said = {row["id"]: row["greedy"] for row in answers.to_pylist()}
    rule = details.rule(found)
    return tuple(
        _unlearned(facts[ident], row, said.get(ident) or [], rule) for ident, row in shown.items()
    ), len(rows)


def _trained(found: RunFiles) -> dict[str, dict[str, Any]]:
    """The trained facts by id, as they were read, aliases included."""
    ids = set(found.mix.get("trained") or ())
    rows = lines(found.folder, FACTS)
    facts = {row["id"]: row for row in rows if row.get("id") in ids}
    if absent := sorted(ids - facts.keys()):
        raise broken(found.folder, FACTS, f"lacks trained fact {absent[0]}")
    return facts


def _unlearned(
    fact: Mapping[str, Any], row: Mapping[str, Any], said: list[str | None], rule: str
) -> Unlearned:
    answer = str(fact.get("answer", ""))
    right = Matcher((answer, *map(str, fact.get("aliases") or ())), rule)
    wrong = Counter(answer_of(text) for text in said if text is not None and not right(text))
    return Unlearned(
        id=row["id"],
        question=str(fact.get("question", "")),
        answer=answer,
        right=row["k_greedy"],
        prompts=row["n_greedy"],
        said=next((text for text, _ in wrong.most_common(1)), None),
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
