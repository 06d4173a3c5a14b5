"""Counters that stay small: exact up to a bound, and told apart from exact ones above it."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

Counts = np.ndarray[Any, np.dtype[np.int64]]


class Frequent:
    """The most frequent texts, after Misra and Gries (1982), with room for the common ones.

    When too many are held, all counts are lowered alike and the ones that reach none are
    forgotten: a text that occurred more than ``missed`` times is never forgotten.
    """

    def __init__(self, room: int = 1 << 16) -> None:
        """Begin with none.

        Args:
            room: texts that survive a lowering; twice as many are held at most.
        """
        self._room = room
        self._counts: dict[Any, int] = {}
        self._shown: dict[Any, str] = {}
        self.missed = 0
        """how much too low a count may be; 0 while all are exact"""

    def add(self, text: Any, shown: str) -> None:
        """Count one text.

        Args:
            text: what is counted, in the form in which texts are compared.
            shown: how it reads; the first of equal ones is kept.
        """
        counts = self._counts
        held = counts.get(text, 0)
        counts[text] = held + 1
        if held:
            return
        self._shown[text] = shown
        if len(counts) > 2 * self._room:
            self._lower()

    def _lower(self) -> None:
        values = np.fromiter(self._counts.values(), np.int64, len(self._counts))
        place = len(values) - self._room - 1
        cut = int(np.partition(values, place)[place])
        self._counts = {text: n - cut for text, n in self._counts.items() if n > cut}
        self._shown = {text: self._shown[text] for text in self._counts}
        self.missed += cut

    def top(self, most: int | None = None) -> list[tuple[Any, int]]:
        """``(text, count)``, the most frequent first; counts are too low by at most `missed`."""
        return sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:most]

    def shown(self, text: Any) -> str:
        """How a text of `top` reads."""
        return self._shown[text]


class Distinct:
    """How often each of many different keys occurs, each key a random number of 64 bits.

    All keys are held while there is room. Then those in the upper half of the numbers are dropped
    for good, and so on: what is left is a fair sample of the keys with exact counts
    (Wegman's adaptive sampling; the error of `count` is about 1.2 / sqrt(most)).
    """

    _BUFFER = 1 << 17

    def __init__(self, most: int = 1 << 20) -> None:
        """Begin with none.

        Args:
            most: keys that are held.
        """
        self._most = most
        self._level = 0
        self._new, self._new_groups = array("Q"), array("I")
        self._keys = np.empty(0, np.uint64)
        self._groups = np.empty(0, np.uint32)
        self._counts = np.empty(0, np.int64)

    def add(self, key: int, group: int = 0) -> None:
        """Count a key; its group is always the same."""
        self._new.append(key)
        self._new_groups.append(group)
        if len(self._new) >= self._BUFFER:
            self._settle()

    @property
    def exact(self) -> bool:
        """Whether all keys are still held."""
        self._settle()
        return not self._level

    @property
    def count(self) -> int:
        """How many different keys there are."""
        self._settle()
        return len(self._keys) << self._level

    def tally(self) -> tuple[Counts, Counts]:
        """``(group, count)`` of the keys that are held."""
        self._settle()
        return self._groups.astype(np.int64), self._counts

    def count_of(self, key: int) -> int | None:
        """How often a key occurred; None when it was dropped."""
        self._settle()
        place = int(np.searchsorted(self._keys, np.uint64(key)))
        held = place < len(self._keys) and int(self._keys[place]) == key
        return int(self._counts[place]) if held else None

    @property
    def scale(self) -> int:
        """How many keys each one that is held stands for."""
        self._settle()
        return 1 << self._level

    def _settle(self) -> None:
        if not self._new:
            return
        keys = np.concatenate([self._keys, np.frombuffer(self._new, np.uint64)])
        groups = np.concatenate([self._groups, np.frombuffer(self._new_groups, np.uint32)])
        counts = np.concatenate([self._counts, np.ones(len(self._new), np.int64)])
        self._new, self._new_groups = array("Q"), array("I")
        self._keys, first, place = np.unique(keys, return_index=True, return_inverse=True)
        self._groups = groups[first]
        self._counts = np.bincount(place, counts).astype(np.int64)
        self._drop(self._level)
        while len(self._keys) > self._most:
            self._drop(self._level + 1)

    def _drop(self, level: int) -> None:
        self._level = level
        if level:
            held = int(np.searchsorted(self._keys, np.uint64(1 << (64 - level))))
            self._keys, self._groups = self._keys[:held], self._groups[:held]
            self._counts = self._counts[:held]
