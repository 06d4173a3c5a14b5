"""Popularity: its quantiles, and which facts are head, torso and tail."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

BANDS = ("head", "torso", "tail")
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_GOLDEN = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1

Floats = np.ndarray[Any, np.dtype[np.float64]]


def bands(values: Floats) -> Counts:
    """Head, torso or tail (0, 1, 2) of every value: each holds about a third of the whole mass.

    A value is head when those that come before it hold less than a third of the sum, torso below
    two thirds. Equal values share a band: they come before each other half of the time.

    Args:
        values: none below 0, some above.
    """
    different, place, counts = np.unique(-values, return_inverse=True, return_counts=True)
    mass = -different * counts
    before = np.cumsum(mass) - mass + (mass + different) / 2
    return np.minimum(2, 3 * before // mass.sum()).astype(np.int64)[place]


Counts = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class PopularitySummary:
    """How popularity is spread over the facts that have one."""

    facts: int
    quantiles: dict[str, float]
    histogram: list[tuple[float, float, int]]
    """``(from, to, facts)`` over half decades; values up to 0 stand in front as (0, 0, facts)"""
    bands: dict[str, float] | None
    """share of the facts that are head, torso and tail; None where values are below 0"""
    exact: bool


class Popularity:
    """The values that were seen: all up to a bound, then a fair part of them."""

    def __init__(self, most: int = 1 << 20) -> None:
        self._most = most
        self._level = 0
        self._facts = 0
        self._values, self._drawn = array("d"), array("Q")

    def add(self, value: float) -> None:
        """Count one value."""
        # Multiples of the golden ratio are spread evenly, so that no period of the file shows.
        drawn = self._facts * _GOLDEN & _WORD
        self._facts += 1
        if drawn >> (64 - self._level) if self._level else False:
            return
        self._values.append(value)
        self._drawn.append(drawn)
        if len(self._values) > self._most:
            self._halve()

    def _halve(self) -> None:
        self._level += 1
        kept = np.frombuffer(self._drawn, np.uint64) < np.uint64(1 << (64 - self._level))
        values = np.frombuffer(self._values, np.float64)[kept]
        drawn = np.frombuffer(self._drawn, np.uint64)[kept]
        self._values, self._drawn = array("d", values.tobytes()), array("Q", drawn.tobytes())

    def summary(self) -> PopularitySummary | None:
        """What there is to say; None without values."""
        if not self._facts:
            return None
        values = np.frombuffer(self._values, np.float64)
        found = np.quantile(values, QUANTILES)
        quantiles = {f"{q:g}": float(v) for q, v in zip(QUANTILES, found, strict=True)}
        scale = self._facts / len(values)
        histogram = [(a, b, round(n * scale)) for a, b, n in _half_decades(values)]
        return PopularitySummary(
            self._facts, quantiles, histogram, _shares(values), exact=not self._level
        )


def _half_decades(values: Floats) -> Iterator[tuple[float, float, int]]:
    above = values[values > 0]
    if len(above) < len(values):
        yield 0.0, 0.0, len(values) - len(above)
    if not len(above):
        return
    low = math.floor(2 * math.log10(float(above.min())))
    steps = np.clip(np.floor(2 * np.log10(above)).astype(np.int64) - low, 0, None)
    for step, count in enumerate(np.bincount(steps).tolist()):
        yield _rounded(low + step), _rounded(low + step + 1), count


def _rounded(half_decades: int) -> float:
    return float(f"{10 ** (half_decades / 2):.3g}")


def _shares(values: Floats) -> dict[str, float] | None:
    if values.min() < 0 or values.max() <= 0:
        return None
    counts = np.bincount(bands(values), minlength=3) / len(values)
    return dict(zip(BANDS, map(float, counts), strict=True))
