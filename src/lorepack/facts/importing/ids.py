"""Which ids were there before: 64-bit hashes in tables, 11 to 16 bytes for each.

Two of 10 million ids have the same hash with a probability of three in a million.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable

_TABLES = 64  # one at a time grows, so that growing needs little more memory
_FIRST = 16


class Ids:
    """A set that things are only added to."""

    def __init__(self) -> None:
        self._tables = [_empty(_FIRST) for _ in range(_TABLES)]
        self._held = [0] * _TABLES

    def add(self, thing: Hashable) -> bool:
        """Add a thing; whether it is new."""
        key = (hash(thing) & 0xFFFF_FFFF_FFFF_FFFF) or 1  # 0: an empty place
        part = key % _TABLES
        table = self._tables[part]
        at = _place(table, key)
        if table[at]:
            return False
        table[at] = key
        self._held[part] += 1
        if self._held[part] * 4 > len(table) * 3:
            self._tables[part] = _grown(table)
        return True


def _empty(places: int) -> array[int]:
    return array("Q", bytes(8 * places))


def _place(table: array[int], key: int) -> int:
    """Where a key is, or where it would be."""
    places = len(table)
    at = key // _TABLES % places
    while (held := table[at]) and held != key:
        at += 1
        if at == places:
            at = 0
    return at


def _grown(table: array[int]) -> array[int]:
    larger = _empty(len(table) * 3 // 2)
    for key in table:
        if key:
            larger[_place(larger, key)] = key
    return larger
