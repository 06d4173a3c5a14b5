"""How often a cause would hold by luck: a permutation test, worked out instead of drawn.

The null: among facts of one category before, which of them shifted has nothing to do with whether
the cause holds. Permuting who shifted within each category then makes the number of shifted facts
for which it holds a sum of hypergeometric numbers, one a category, whose distribution is
computed to the last digit. Categories are kept apart since only known facts can fall and only
others than HighlyKnown can rise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOOR = 1e-30
"""the smallest p-value that is given"""
_Law = tuple[int, NDArray[np.float64]]
"""the smallest value, and the probabilities from there on"""


@dataclass(frozen=True, slots=True)
class Chance:
    """How often a cause holds among shifted facts, and how often it would by luck."""

    count: int
    share: float
    """of the shifted facts; 0 when there are none"""
    chance: float
    """the share expected by luck"""
    low: float
    """of the interval in which luck alone leaves the share, 95 % by default"""
    high: float
    p: float
    """probability of this count or a higher one by luck"""

    def to_json(self) -> dict[str, Any]:
        """The figures as a JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}


def by_luck(
    holds: NDArray[np.bool_],
    shifted: NDArray[np.bool_],
    strata: NDArray[np.integer[Any]],
    level: float = 0.95,
) -> Chance:
    """Compare how often a cause holds among shifted facts with its permutation distribution.

    Args:
        holds: ``(facts,)`` whether the cause's condition holds, shifted or not.
        shifted: ``(facts,)`` who shifted.
        strata: ``(facts,)`` non-negative codes; facts change places only within a stratum.
        level: of the interval.
    """
    total, count = int(shifted.sum()), int((holds & shifted).sum())
    if not total:
        return Chance(0, 0.0, 0.0, 0.0, 0.0, 1.0)
    law: _Law = (0, np.ones(1))
    mean = 0.0
    for code in np.unique(strata[shifted]):
        inside = strata == code
        size, marked = int(inside.sum()), int((inside & holds).sum())
        drawn = int((inside & shifted).sum())
        mean += drawn * marked / size
        law = _sum(law, hypergeometric(size, marked, drawn))
    first, chances = law
    below = np.cumsum(chances)
    edges = np.searchsorted(below, [(1 - level) / 2 - 1e-12, (1 + level) / 2 - 1e-12])
    low, high = (first + np.minimum(edges, len(chances) - 1)) / total
    above = float(chances[max(count - first, 0) :][::-1].sum())  # small numbers first
    return Chance(
        count, count / total, mean / total, float(low), float(high), min(1.0, max(above, FLOOR))
    )


def hypergeometric(size: int, marked: int, drawn: int) -> _Law:
    """How many of ``drawn`` facts are marked, when ``marked`` of ``size`` are.

    From the ratios of neighbouring probabilities, so that nothing overflows at a million facts.
    """
    first, last = max(0, drawn + marked - size), min(drawn, marked)
    k = np.arange(first, last, dtype=np.float64)
    ratios = (marked - k) * (drawn - k) / ((k + 1) * (size - marked - drawn + k + 1))
    logs = np.concatenate([[0.0], np.cumsum(np.log(ratios))])
    chances = np.exp(logs - logs.max())
    return _kept((first, chances / chances.sum()))


def _sum(one: _Law, other: _Law) -> _Law:
    return _kept((one[0] + other[0], np.convolve(one[1], other[1])))


def _kept(law: _Law) -> _Law:
    """Without the far tails, which a convolution of many facts would spend its time on."""
    first, chances = law
    inside = np.flatnonzero(chances > FLOOR)
    return first + int(inside[0]), chances[inside[0] : inside[-1] + 1]
