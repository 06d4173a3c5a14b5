"""Who moved where: the transition matrix of the categories, and the shifts in it.

Positive and negative shifts are those of arXiv 2502.14502, section 4.2: a fact that is known
better or worse than before. The paper does not state its denominator, so both are given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorepack.probing import CATEGORIES

Matrix = NDArray[np.int64]
"""(4, 4) counts of facts: rows before, columns after, in the order of `CATEGORIES`"""


def transitions(before: NDArray[np.int8], after: NDArray[np.int8]) -> Matrix:
    """Count the facts of every pair of categories.

    Args:
        before: ``(facts,)`` category codes.
        after: ``(facts,)`` category codes of the same facts.
    """
    assert before.shape == after.shape
    size = len(CATEGORIES)
    pairs = before.astype(np.int64) * size + after
    return np.bincount(pairs, minlength=size * size).reshape(size, size)


@dataclass(frozen=True, slots=True)
class Shift:
    """Facts that moved in one direction."""

    count: int
    of_all: float | None
    """share of all facts; None when there are none"""
    of_movable: float | None
    """share of the facts that could move this way; None when there are none"""

    def interval(
        self, facts: int, *, seed: int = 0, resamples: int = 2000, level: float = 0.95
    ) -> tuple[float, float] | None:
        """Percentile interval of ``of_all`` (Efron 1979), drawing facts again.

        A fact moved or did not, so a resample's count is binomial.

        Args:
            facts: how many there are; None is returned when there are none.
            seed: of the resamples.
            resamples: how many.
            level: of the interval.
        """
        if not facts or self.of_all is None:
            return None
        draws = np.random.default_rng(seed).binomial(facts, self.of_all, resamples) / facts
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
        return min(float(low), self.of_all), max(float(high), self.of_all)

    def to_json(self) -> dict[str, Any]:
        """The shift as a JSON object."""
        return {"count": self.count, "of_all": self.of_all, "of_movable": self.of_movable}


def positive(matrix: Matrix) -> Shift:
    """Facts known better than before; those that were HighlyKnown could not move."""
    return _shift(matrix, np.tril(matrix, -1), stuck=0)


def negative(matrix: Matrix) -> Shift:
    """Facts known worse than before; those that were Unknown could not move."""
    return _shift(matrix, np.triu(matrix, 1), stuck=-1)


def both(matrix: Matrix, **bootstrap: Any) -> dict[str, Any]:
    """Both directions as a JSON object, each with the interval of ``of_all``.

    Args:
        matrix: of the facts.
        bootstrap: options of `Shift.interval`.
    """
    row = {}
    for name, shift in (("positive", positive(matrix)), ("negative", negative(matrix))):
        low, high = shift.interval(int(matrix.sum()), **bootstrap) or (None, None)
        row[name] = {**shift.to_json(), "low": low, "high": high}
    return row


def _shift(matrix: Matrix, moved: Matrix, stuck: int) -> Shift:
    count, facts = int(moved.sum()), int(matrix.sum())
    movable = facts - int(matrix[stuck].sum())
    return Shift(count, count / facts if facts else None, count / movable if movable else None)
