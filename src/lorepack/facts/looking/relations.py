"""Facts by relation: how many, how many different answers, and what these carry."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from lorepack.facts.looking.counting import Distinct, Frequent
from lorepack.facts.looking.entropy import entropy
from lorepack.facts.looking.fingerprints import fingerprint

MOST = 10_000
"""relations that are counted apart"""
NONE = "(no relation)"
FURTHER = "(further relations)"


@dataclass(frozen=True)
class RelationSummary:
    """The facts of one relation."""

    relation: str
    facts: int
    answers: int
    """different ones, in normal form"""
    top: str | None
    """the most frequent answer; None where it is not known for certain"""
    top_share: float
    entropy: float | None
    """of the answers, plug-in, in bits; None where not all answers could be held"""
    corrected: float | None
    """the same after Miller and Madow"""
    enough: bool
    """whether the facts are enough to say how many bits an answer carries"""


class Relations:
    """The relations of a file with the answers of each."""

    def __init__(self) -> None:
        self.facts: Counter[str] = Counter()
        self.answers = Distinct(1 << 21)
        self._numbers: dict[str, int] = {}
        self._common = Frequent()

    def add(self, relation: str | None, answer: str, shown: str) -> str:
        """Count one fact.

        Args:
            relation: its relation, if it has one.
            answer: its answer in normal form.
            shown: its answer.

        Returns:
            What the relation is called here.
        """
        name = relation or NONE
        number = self._numbers.get(name)
        if number is None:
            if len(self._numbers) >= MOST:
                name = FURTHER
            number = self._numbers.setdefault(name, len(self._numbers))
        self.facts[name] += 1
        self.answers.add(fingerprint(f"{number}\x1f{answer}"), number)
        self._common.add((number, answer), shown)
        return name

    def named(self) -> tuple[int, bool]:
        """How many relations have a name, and whether that is all of them."""
        return len(self.facts.keys() - {NONE, FURTHER}), FURTHER not in self.facts

    def summary(self) -> list[RelationSummary]:
        """All relations, the largest first."""
        groups, counts = self.answers.tally()
        order = np.argsort(groups, kind="stable")
        ends = np.searchsorted(groups[order], np.arange(len(self._numbers) + 1))
        tops = self._tops()
        found = []
        for name, number in self._numbers.items():
            held = counts[order[ends[number] : ends[number + 1]]]
            found.append(self._one(name, held, tops.get(number)))
        return sorted(found, key=lambda one: (-one.facts, one.relation))

    def _tops(self) -> dict[int, tuple[str, int]]:
        tops: dict[int, tuple[str, int]] = {}
        for (number, answer), count in self._common.top():
            tops.setdefault(number, (answer, count))
        return tops

    def _one(self, name: str, held: np.ndarray, common: tuple[str, int] | None) -> RelationSummary:
        facts, exact = self.facts[name], self.answers.exact
        top, count = common or ("", 0)
        if exact:
            known = self.answers.count_of(fingerprint(f"{self._numbers[name]}\x1f{top}"))
            if known != held.max():
                common = None
            count = int(held.max())
        bits = entropy(held) if exact else None
        return RelationSummary(
            relation=name,
            facts=facts,
            answers=len(held) * self.answers.scale,
            top=self._common.shown((self._numbers[name], top)) if common else None,
            top_share=count / facts,
            entropy=bits.plug_in if bits else None,
            corrected=bits.corrected if bits else None,
            enough=bits is not None and bits.enough,
        )
