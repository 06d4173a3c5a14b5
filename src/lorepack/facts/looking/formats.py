"""Values of one format, such as phone numbers and codes: how many bits each may carry.

Signs are counted place by place. The sum of their entropies is what a value carries where the
places are independent; it is claimed only where nothing speaks against that: each place has all
its signs equally often, neighbours say nothing of each other, and values seldom repeat.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np

from lorepack.facts.looking.counting import Distinct
from lorepack.facts.looking.entropy import entropy
from lorepack.facts.looking.fingerprints import fingerprint

RELATIONS = 500
"""relations that are looked at, the first of the file"""
_LENGTHS = 4
_LONGEST = 1_000
_SIGNS = 256
_NEIGHBOURS = 16
_BUFFER = 1 << 16
_SAME = 0.99
"""share of a relation's values that must have the length of most"""
_FEWEST = 30
_CORRECTION = 0.02
"""share of the bits that may come from the correction for small samples"""
_OFF = 0.01
"""share of the bits of a place that may be missing, beside what chance explains"""
_CHANCE = 5.0
"""standard deviations that chance may explain"""


@dataclass(frozen=True)
class Place:
    """One place of a format."""

    signs: str
    """those that were seen, sorted"""
    plug_in: float
    bits: float
    """entropy, corrected for the size of the sample"""


@dataclass(frozen=True)
class ValueFormat:
    """The values of a relation, all of one length."""

    relation: str
    values: int
    others: int
    """values of another length, left out"""
    pattern: str
    places: list[Place]
    bits: float
    """of a value, if its places are independent: the sum over places"""
    most: float
    """what the format could hold: all signs of a place's kind, equally often"""
    random: bool
    reason: str
    """why the values are not taken as random, or the sample is too small to say; else empty"""

    @property
    def total(self) -> float | None:
        """Bits of all values together, where they are random."""
        return self.bits * self.values if self.random else None


class Formats:
    """The formats of the relations of a file."""

    def __init__(self) -> None:
        self._relations: dict[str, dict[int, _Places] | None] = {}
        self._buffers: dict[tuple[str, int], list[str]] = {}
        self._held = self._lengths = 0
        self._different = Distinct()

    def add(self, relation: str, value: str) -> None:
        """Count one value."""
        lengths = self._relations.get(relation)
        if lengths is None:
            if relation in self._relations or len(self._relations) >= RELATIONS:
                return
            lengths = self._relations[relation] = {}
        length = len(value)
        if length not in lengths:
            if len(lengths) == _LENGTHS or length > _LONGEST:
                self._relations[relation] = None  # no format
                return
            lengths[length] = _Places(length, self._lengths)
            self._lengths += 1
        self._different.add(fingerprint(f"{relation}\x1f{value}"), lengths[length].number)
        self._buffers.setdefault((relation, length), []).append(value)
        self._held += 1
        if self._held >= _BUFFER:
            self._settle()

    def _settle(self) -> None:
        for (relation, length), values in self._buffers.items():
            lengths = self._relations[relation]
            if lengths is not None and not lengths[length].add(values):
                self._relations[relation] = None
        self._buffers, self._held = {}, 0

    def found(self, facts: Mapping[str, int]) -> list[ValueFormat]:
        """The relations whose values have one format, in the order of the file.

        Args:
            facts: of each relation.
        """
        self._settle()
        exact = self._different.exact
        distinct = np.bincount(self._different.tally()[0], minlength=self._lengths).tolist()
        formats = []
        for relation, lengths in self._relations.items():
            if not lengths:
                continue
            places = max(lengths.values(), key=lambda places: places.values)
            if places.values >= max(_FEWEST, _SAME * facts[relation]) and places.vary:
                known = distinct[places.number] if exact else None
                formats.append(places.judged(relation, facts[relation], known))
        return formats


class _Places:
    """How often each sign stands at each place, and each pair at neighbouring ones."""

    def __init__(self, length: int, number: int) -> None:
        self.number = number
        self.values = 0
        self.signs: list[Counter[str]] = [Counter() for _ in range(length)]
        self.pairs: list[Counter[tuple[str, str]]] = [
            Counter() for _ in range(min(length - 1, _NEIGHBOURS))
        ]

    @property
    def vary(self) -> bool:
        """Whether there is more than one value."""
        return any(len(signs) > 1 for signs in self.signs)

    def add(self, values: list[str]) -> bool:
        """Count values; False when there are too many signs for a format."""
        self.values += len(values)
        columns = list(zip(*values, strict=True))
        for signs, column in zip(self.signs, columns, strict=True):
            signs.update(column)
            if len(signs) > _SIGNS:
                return False
        for pairs, (left, right) in zip(self.pairs, pairwise(columns), strict=False):
            pairs.update(zip(left, right, strict=True))
        return True

    def judged(self, relation: str, facts: int, distinct: int | None) -> ValueFormat:
        """What the counts say."""
        places = [_place(signs) for signs in self.signs]
        bits = sum(place.bits for place in places)
        reason = (
            self._too_few(places)
            or self._uneven(places)
            or self._dependent(places)
            or self._repeating(bits, distinct)
        )
        return ValueFormat(
            relation,
            self.values,
            facts - self.values,
            _pattern(places),
            places,
            bits,
            _most(places),
            not reason,
            reason,
        )

    def _too_few(self, places: list[Place]) -> str:
        bits = sum(place.bits for place in places)
        if sum(place.bits - place.plug_in for place in places) > _CORRECTION * bits:
            return f"{self.values:,} values are too few to say"
        return ""

    def _uneven(self, places: list[Place]) -> str:
        for number, place in enumerate(places, 1):
            full = math.log2(len(place.signs))
            chance = _CHANCE * _deviation(len(place.signs) - 1, self.values)
            if full - place.bits > _OFF * full + chance:
                return f"place {number} does not have its signs equally often"
        return ""

    def _dependent(self, places: list[Place]) -> str:
        for number, (pairs, (left, right)) in enumerate(
            zip(self.pairs, pairwise(places), strict=False), 1
        ):
            free = (len(left.signs) - 1) * (len(right.signs) - 1)
            if not free:
                continue
            shared = left.plug_in + right.plug_in - entropy(list(pairs.values())).plug_in
            expected = free / (2 * self.values * math.log(2))
            chance = _CHANCE * _deviation(free, self.values)
            if shared - expected > _OFF * min(left.bits, right.bits) + chance:
                return f"places {number} and {number + 1} depend on each other"
        return ""

    def _repeating(self, bits: float, distinct: int | None) -> str:
        """Values drawn from few repeat more often than their bits allow (the birthday problem)."""
        if distinct is None or bits > 64:
            return ""
        pool = 2.0**bits
        expected = self.values - pool * -math.expm1(self.values * math.log1p(-1 / pool))
        repeats = self.values - distinct
        if repeats > 2 * expected + _CHANCE * math.sqrt(expected + 1):
            return f"{repeats:,} values repeat, {expected:,.0f} would by chance"
        return ""


def _deviation(free: int, values: int) -> float:
    """The standard deviation of an entropy of even shares: that of chi-square, in bits."""
    return math.sqrt(2 * free) / (2 * values * math.log(2))


def _place(signs: Counter[str]) -> Place:
    found = entropy(list(signs.values()))
    return Place("".join(sorted(signs)), found.plug_in, found.corrected)


def _kind(signs: str) -> str:
    if signs.isdecimal():
        return "digits"
    return "letters" if signs.isalpha() else "signs"


def _most(places: list[Place]) -> float:
    varying = [place.signs for place in places if len(place.signs) > 1]
    pools: dict[str, set[str]] = {}
    for signs in varying:
        pools.setdefault(_kind(signs), set()).update(signs)
    return sum(math.log2(len(pools[_kind(signs)])) for signs in varying)


def _pattern(places: list[Place]) -> str:
    """The places as a regular expression shows them."""
    parts = []
    for shown, run in groupby(_shown(place.signs) for place in places):
        times = len(list(run))
        parts.append(shown * times if len(shown) == 1 else shown + f"{{{times}}}" * (times > 1))
    return "".join(parts)


def _shown(signs: str) -> str:
    """Signs as in a regular expression: a run as its ends."""
    if len(signs) == 1:
        return signs
    run = len(signs) > 2 and ord(signs[-1]) - ord(signs[0]) == len(signs) - 1
    return f"[{signs[0]}-{signs[-1]}]" if run else f"[{signs}]"
