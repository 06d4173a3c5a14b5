"""What is known of the distribution that the values of facts were drawn from."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lorepack.facts import Fact
from lorepack.facts.generators import MOST, Generated, phone_book, random_map

PHONE = re.compile(r"[2-9]\d\d-[2-9]\d\d-[1-9]\d{3}")
_FRESH_SEED = 0x5EED
"""of keys that nobody trains: makers of facts are given small seeds"""
_UNLIKELY = 8.0
"""standard deviations of chi² beyond which signs do not look uniform"""


@dataclass(frozen=True)
class Values:
    """The distribution of one value, as far as it is known, and draws that were not trained."""

    bits: float | None
    """entropy of one value; None where nobody knows"""
    known: bool
    """whether the entropy is exact: values drawn independently, all equally likely"""
    pattern: re.Pattern[str] | None = None
    """what a well-formed value looks like; None where nobody says"""
    fresh: tuple[Fact, ...] = ()
    """keys that were never trained, with values drawn anew"""
    note: str = ""
    """why the entropy is not known"""

    def well_formed(self, text: str) -> bool:
        """Whether a text could be a value; any text that says something where nobody says."""
        return bool(self.pattern.fullmatch(text) if self.pattern else text.strip())


def made_values(facts: Sequence[Fact], fresh: int) -> Values | None:
    """The distribution of facts that `lorepack facts make` made; None of any others.

    The maker is told by ``source``, and believed only where values look as it draws them.

    Args:
        facts: at least one.
        fresh: how many keys to draw that none of these facts has.
    """
    sources = {fact.source for fact in facts}
    answers = [fact.answer for fact in facts]
    if sources == {"phonebook"} and all(map(PHONE.fullmatch, answers)):
        made, pattern = phone_book(1), PHONE
        free = [2, 1, 1, 0, 2, 1, 1, 0, 3, 1, 1, 1]  # of 10 signs; 0 marks a dash
        sizes = [{0: 1, 1: 10, 2: 8, 3: 9}[kind] for kind in free]
        again: Generated = phone_book(MOST, _FRESH_SEED)
    elif sources == {"random-map"} and len({len(answer) for answer in answers}) == 1:
        signs = sorted(set("".join(answers)))
        if len(signs) < 2:
            return None
        length = len(answers[0])
        made = random_map(1, alphabet="".join(signs), length=length)
        pattern = re.compile(f"[{re.escape(''.join(signs))}]{{{length}}}")
        sizes = [len(signs)] * length
        again = random_map(MOST, _FRESH_SEED, alphabet="".join(signs), length=length)
    else:
        return None
    known = _looks_uniform(answers, sizes)
    note = "" if known else "values are not spread as their maker draws them"
    return Values(made.bits_per_value, known, pattern, untrained(again, facts, fresh), note)


def untrained(source: Iterable[Fact], facts: Iterable[Fact], count: int) -> tuple[Fact, ...]:
    """The first facts of a source whose questions none of the given facts asks."""
    asked = {fact.question for fact in facts}
    return tuple(itertools.islice((f for f in source if f.question not in asked), count))


def _looks_uniform(answers: Sequence[str], sizes: Sequence[int]) -> bool:
    """Whether every place of the values has its signs about equally often (Pearson's chi²).

    Args:
        answers: of equal length.
        sizes: how many signs each place may have; 1 for a fixed one.
    """
    statistic, freedom = 0.0, 0
    for place, size in enumerate(sizes):
        if size > 1:
            counts = Counter(answer[place] for answer in answers).values()
            expected = len(answers) / size
            missing = (size - len(counts)) * expected
            statistic += missing + sum((n - expected) ** 2 / expected for n in counts)
            freedom += size - 1
    return (statistic - freedom) / math.sqrt(2 * freedom) < _UNLIKELY
