"""Entropy from counts, in bits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

COVERED = 0.9
"""share of the answers still to come that were seen before, below which nothing can be said"""


@dataclass(frozen=True)
class Entropy:
    """How many bits one value carries, as far as a sample can say."""

    plug_in: float
    """of the shares as they are: too low"""
    corrected: float
    """after Miller and Madow: plus (values - 1) / (2 n ln 2)"""
    coverage: float
    """share of the next values that would be known already (Good and Turing)"""

    @property
    def enough(self) -> bool:
        """Whether the sample is large enough to say."""
        return self.coverage >= COVERED


def entropy(counts: Any) -> Entropy:
    """The entropy of values that occurred so often.

    Args:
        counts: one number a value, all above 0, at least one.
    """
    numbers = np.asarray(counts, dtype=np.float64)
    whole = float(numbers.sum())
    shares = numbers / whole
    plug_in = max(0.0, -float((shares * np.log2(shares)).sum()))
    correction = (len(numbers) - 1) / (2 * whole * math.log(2))
    return Entropy(plug_in, plug_in + correction, 1 - float((numbers == 1).sum()) / whole)
