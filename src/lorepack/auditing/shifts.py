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

    def to_json(self) -> dict[str, Any]:
        """The shift as a JSON object."""
        return {"count": self.count, "of_all": self.of_all, "of_movable": self.of_movable}


def positive(matrix: Matrix) -> Shift:
    """Facts known better than before; those that were HighlyKnown could not move."""
    return _shift(matrix, np.tril(matrix, -1), stuck=0)


def negative(matrix: Matrix) -> Shift:
    """Facts known worse than before; those that were Unknown could not move."""
    return _shift(matrix, np.triu(matrix, 1), stuck=-1)


def both(matrix: Matrix) -> dict[str, Any]:
    """Both directions as a JSON object."""
    return {"positive": positive(matrix).to_json(), "negative": negative(matrix).to_json()}


def _shift(matrix: Matrix, moved: Matrix, stuck: int) -> Shift:
    count, facts = int(moved.sum()), int(matrix.sum())
    movable = facts - int(matrix[stuck].sum())
    return Shift(count, count / facts if facts else None, count / movable if movable else None)
