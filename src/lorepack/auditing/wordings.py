"""Generality: trained facts asked through wordings that were not trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lorepack.auditing.reliability import generality
from lorepack.auditing.settings import AuditSettings
from lorepack.facts import Fact
from lorepack.probing import ProbeResult
from lorepack.probing.prompts import form
from lorepack.probing.store import write_table

_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("wording", pa.string()),
        ("k_greedy", pa.int32()),
        ("n_greedy", pa.int32()),
        ("greedy", pa.list_(pa.string())),
    ]
)


def as_facts(
    facts: Sequence[Fact], heldout: Mapping[str, Sequence[str]], trained: AbstractSet[str]
) -> tuple[list[Fact], list[str]]:
    """The held-out wordings of trained facts as facts of their own, and whose they are.

    A wording keeps the fact's question among its paraphrases, so that the fact itself is not an
    exemplar before it. Wordings equal to the question or to each other are asked once or never.
    """
    asked, owners = [], []
    for fact in facts:
        if fact.id not in trained:
            continue
        seen = {form(fact.question)}
        for number, wording in enumerate(heldout.get(fact.id, ())):
            if form(wording) in seen:
                continue
            seen.add(form(wording))
            asked.append(
                Fact(
                    question=wording,
                    answer=fact.answer,
                    aliases=fact.aliases,
                    paraphrases=(fact.question,),
                    relation=fact.relation,
                    id=f"{fact.id}/{number}",
                )
            )
            owners.append(fact.id)
    return asked, owners


def summarise(
    owners: Sequence[str], found: ProbeResult, settings: AuditSettings
) -> dict[str, Any] | None:
    """The ``generality`` part of ``audit.json``."""
    numbers = {name: i for i, name in enumerate(dict.fromkeys(owners))}
    places = np.array([numbers[name] for name in owners], np.int64)
    shares = found.tally.k_greedy / found.tally.n_greedy
    return generality(places, shares, **settings.bootstrap)


def write(path: Path, asked: Sequence[Fact], owners: Sequence[str], found: ProbeResult) -> None:
    """Write ``generality.parquet``: one row a wording, ``id`` that of the fact."""
    greedy = [row for part in found.answers() for row in part.greedy]
    columns = [
        list(owners),
        [fact.question for fact in asked],
        found.tally.k_greedy,
        found.tally.n_greedy,
        greedy,
    ]
    write_table(path, pa.table(columns, schema=_SCHEMA))
