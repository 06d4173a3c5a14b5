"""Rows that belong together because they share a key, directly or through other rows."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from lorepack.facts.looking.fingerprints import Numbers

Rows = np.ndarray[Any, np.dtype[np.int64]]


class Components:
    """The keys of every row, 64-bit numbers; rows come in order."""

    def __init__(self) -> None:
        self._keys = array("Q")
        self._ends = array("q")

    def add(self, keys: Iterable[int]) -> None:
        """The keys of the next row, at least one."""
        self._keys.extend(keys)
        self._ends.append(len(self._keys))

    def labels(self) -> Numbers:
        """For every row the lowest key of all rows that it belongs together with."""
        keys = np.frombuffer(self._keys, np.uint64)
        ends = np.frombuffer(self._ends, np.int64)
        different, places = np.unique(keys, return_inverse=True)
        roots = _joined(len(different), places, ends)
        # Roots are the lowest places, and places are in the order of the keys.
        return different[roots[places[np.concatenate([[0], ends[:-1]])]]]


def _joined(count: int, places: Rows, ends: Rows) -> Rows:
    """The lowest key that each key is joined with: union by rows that hold several keys."""
    parents = list(range(count))

    def root(place: int) -> int:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    for start, end in _several(ends):
        first, *others = places[start:end].tolist()
        for other in others:
            one, two = root(first), root(other)
            parents[max(one, two)] = min(one, two)
    roots = np.array(parents, dtype=np.int64)
    while not np.array_equal(roots, higher := roots[roots]):
        roots = higher
    return roots


def _several(ends: Rows) -> Iterator[tuple[int, int]]:
    """Where the keys of each row begin and end, of rows with more than one."""
    starts = np.concatenate([[0], ends[:-1]])
    chosen = ends - starts > 1
    yield from zip(starts[chosen].tolist(), ends[chosen].tolist(), strict=True)
