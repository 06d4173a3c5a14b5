"""What a probe found, loaded from its folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorepack.errors import InputError, MismatchError, NotFoundError
from lorepack.facts import Fact
from lorepack.files import MANIFEST, read_json, timing_of
from lorepack.probing.asking import Answers
from lorepack.probing.categories import CATEGORIES, count, label
from lorepack.probing.floor import measure
from lorepack.probing.prompts import Prompts
from lorepack.probing.settings import ProbeSettings
from lorepack.probing.store import (
    LABELS,
    read_answers,
    read_batches,
    read_controls,
    read_luck,
)
from lorepack.probing.tally import Tally, tally


@dataclass(frozen=True, eq=False)
class ProbeResult:
    """The categories of some facts for one model, with the counts they come from.

    Arrays are in the order of ``ids``, the order in which the facts were given.
    """

    out: Path
    ids: list[str]
    codes: NDArray[np.int8]
    """``(facts,)`` places in `CATEGORIES`"""
    tally: Tally
    settings: ProbeSettings
    seconds: float | None
    """None when the timing was lost"""
    notes: tuple[str, ...] = ()
    ways: int = 4
    document: dict[str, Any] = field(default_factory=dict, repr=False)
    """``probe.json``"""
    luck: dict[str, float] | None = field(default=None, repr=False)
    """by fact id, the share of control questions that the fact's answer would have made known as
    well or better; None when no controls were asked"""

    @classmethod
    def load(cls, folder: Path | str) -> ProbeResult:
        """Load a finished probe.

        Raises:
            NotFoundError: no finished probe there.
            InputError: a file of it is damaged.
        """
        folder = Path(folder)
        if not (folder / MANIFEST).is_file() or not (folder / "probe.json").is_file():
            raise NotFoundError(f"{folder}: no finished probe; run `lorepack probe --out {folder}`")
        document = read_json(folder / "probe.json")
        timing = timing_of(folder, "probe")
        ids, codes, counts = _read_labels(folder / "categories.parquet")
        if len(ids) != document["facts"]:
            raise InputError(
                f"{folder}: categories.parquet has {len(ids)} rows, probe.json says "
                f"{document['facts']}; remove the folder and probe again"
            )
        return cls(
            out=folder,
            ids=ids,
            codes=codes,
            tally=counts,
            settings=ProbeSettings(**document["inputs"]["settings"], **_chunk(timing)),
            seconds=timing.get("seconds"),
            notes=tuple(document["notes"]),
            document=document,
            luck=_luck(folder) if document.get("controls") else None,
        )

    @property
    def facts(self) -> int:
        """How many facts were asked."""
        return len(self.ids)

    @property
    def counts(self) -> dict[str, int]:
        """Facts a category."""
        return count(self.codes)

    @property
    def refusals(self) -> int:
        """Greedy answers that decline to answer, over facts and prompts."""
        return int(self.tally.refused.sum())

    @property
    def refused(self) -> NDArray[np.int32]:
        """``(facts,)`` greedy answers to each fact that decline to answer."""
        return self.tally.refused

    @property
    def refusing_facts(self) -> int:
        """Facts to which most greedy answers decline to answer."""
        return int((2 * self.tally.refused > self.tally.n_greedy).sum())

    @property
    def controls(self) -> dict[str, Any] | None:
        """The guess floor: ``controls`` of ``probe.json``; None when no controls were asked."""
        return self.document.get("controls")

    @cached_property
    def prompts(self) -> Prompts:
        """The exemplars that were shown, to ask again in the same way."""
        return Prompts.from_json(read_json(self.out / "prompts.json"))

    @cached_property
    def index(self) -> dict[str, int]:
        """The place of every fact."""
        return {name: i for i, name in enumerate(self.ids)}

    def category_of(self, fact_id: str) -> str:
        """The category of one fact.

        Raises:
            NotFoundError: the fact was not probed.
        """
        if fact_id not in self.index:
            raise NotFoundError(f"fact {fact_id!r} is not among the {self.facts} probed facts")
        return CATEGORIES[self.codes[self.index[fact_id]]]

    def ids_in(self, category: str) -> list[str]:
        """The facts of a category, in order."""
        code = CATEGORIES.index(category)
        return [self.ids[i] for i in np.flatnonzero(self.codes == code)]

    def answers(self) -> Iterator[Answers]:
        """The stored generations, some thousand facts at a time, in order."""
        return read_answers(self.out / "answers.parquet")

    def relabel(self, facts: Sequence[Fact], rule: str | None = None, ways: int = 4) -> ProbeResult:
        """Derive the labels again from the stored generations; nothing is generated or written.

        Args:
            facts: the probed facts, in any order; their aliases may have changed.
            rule: another matching rule; None keeps the probe's.
            ways: 4, or 3 to count WeaklyKnown as Unknown.

        Returns:
            A result with new categories and counts.

        Raises:
            MismatchError: a probed fact is not among ``facts``.
        """
        by_id = {fact.id: fact for fact in facts}
        missing = [name for name in self.ids if name not in by_id]
        if missing:
            raise MismatchError(
                f"{self.out}: {len(missing)} probed facts are not among those given, first "
                f"{missing[0]}; give the facts that were probed"
            )
        settings = self.settings.override({} if rule is None else {"rule": rule})
        counts = Tally.joined(
            [
                tally(
                    [by_id[i] for i in part.ids],
                    part,
                    settings.rule,
                    settings.samples,
                    settings.lexicon,
                )
                for part in self.answers()
            ]
        )
        codes = label(counts.k_greedy, counts.n_greedy, counts.k_sampled, ways)
        again = dataclasses.replace(self, codes=codes, tally=counts, settings=settings, ways=ways)
        return again._with_floor([by_id[i] for i in self.ids])

    def _with_floor(self, facts: Sequence[Fact]) -> ProbeResult:
        """The guess floor of these categories, from the stored answers to the controls."""
        path = self.out / "controls.parquet"
        if self.controls is None:
            return self
        if not path.is_file():  # as in the folder of an audit: of other labels nothing is known
            return dataclasses.replace(self, document={**self.document, "controls": None})
        found = measure(
            facts,
            self.codes,
            read_controls(path),
            rule=self.settings.rule,
            samples=self.settings.samples,
            seed=self.settings.seed,
            ways=self.ways,
            left_out=self.controls["left_out"],
        )
        document = {**self.document, "controls": found.document}
        return dataclasses.replace(self, document=document, luck=found.luck)

    def to_json(self) -> dict[str, Any]:
        """The figures as a JSON object."""
        return {
            "facts": self.facts,
            "categories": self.counts,
            "refusals": self.refusals,
            "seconds": self.seconds,
            "out": str(self.out),
        }

    def __repr__(self) -> str:
        shown = ", ".join(f"{name} {n}" for name, n in self.counts.items())
        return f"ProbeResult({self.facts} facts: {shown}; {str(self.out)!r})"

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        rows = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td>{n:,}</td>"
            f"<td>{n / self.facts:.1%}</td></tr>"
            for name, n in self.counts.items()
        )
        return (
            f"<table><caption>{self.facts:,} facts in {escape(str(self.out))}</caption>{rows}"
            f"<tr><th style='text-align:left'>refused answers</th><td>{self.refusals:,}</td>"
            "<td></td></tr></table>"
        )


def _luck(folder: Path) -> dict[str, float] | None:
    """The luck of the facts; None in a folder that took over some of the files, as audits do."""
    path = folder / "luck.parquet"
    return read_luck(path) if path.is_file() else None


def _chunk(timing: Mapping[str, Any]) -> dict[str, int]:
    """The size of a chunk, which decides no result and so stands with the durations."""
    return {"chunk": timing["chunk"]} if "chunk" in timing else {}


def _read_labels(path: Path) -> tuple[list[str], NDArray[np.int8], Tally]:
    batches = list(read_batches(path, 1 << 16))
    codes = {name: code for code, name in enumerate(CATEGORIES)}
    names = [name for batch in batches for name in batch["category"].to_pylist()]
    ids = [ident for batch in batches for ident in batch["id"].to_pylist()]
    columns = [
        np.concatenate([batch[name].to_numpy().astype(np.int32) for batch in batches])
        for name in LABELS.names[2:]
    ]
    return ids, np.array([codes[name] for name in names], np.int8), Tally(*columns)
