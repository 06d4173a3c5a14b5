"""Names that get a number once, and are known again by a hash of 64 bits.

Of a name that comes again only its hash is looked up, so that the memory holds every name once, in
blocks that are never copied, and 24 bytes for each. Two of 8 million names have the same hash with
a probability of two in a million; they would be taken for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

Numbers = NDArray[np.int32]
Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

_SLICE = 1 << 18  # keys that move at once when the table grows
_U = np.uint64
_FACTORS = (_U(0xFF51AFD7ED558CCD), _U(0xC4CEB9FE1A85EC53))  # of MurmurHash3
_BEGINNING = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)


class Names:
    """All names so far, numbered in the order in which they came."""

    def __init__(self) -> None:
        self._blocks: list[Any] = []
        self._table = Table()

    def numbers(self, names: pa.BinaryArray) -> Numbers:
        """``(names,)`` the number of each of several different names."""
        numbers, fresh = self._table.numbers(hashes(names))
        if len(fresh):
            self._blocks.append(names.take(fresh))
        return numbers

    def all(self) -> pa.ChunkedArray:
        """The names by number."""
        import pyarrow as pa

        return pa.chunked_array(self._blocks, pa.binary())


class Table:
    """Numbers by key, in 12 bytes a place: many keys are looked up at once, round after round."""

    def __init__(self, places: int = 1 << 12) -> None:
        """Begin empty.

        Args:
            places: a power of two.
        """
        self.size = 0
        self._make(places)

    def _make(self, places: int) -> None:
        self._keys = np.zeros(places, np.uint64)  # 0: empty
        self._values = np.empty(places, np.int32)
        self._mask = np.int64(places - 1)

    def numbers(self, keys: Hashes) -> tuple[Numbers, Places]:
        """The numbers of keys, which differ.

        Returns:
            ``(keys,)`` numbers, and the places of those keys that are new, by their number.
        """
        self._make_room(len(keys))
        return self._placed(keys, None)

    def _placed(self, keys: Hashes, given: Numbers | None) -> tuple[Numbers, Places]:
        """Look keys up, and enter those that are new under the next or the given numbers."""
        found, fresh = np.empty(len(keys), np.int32), [np.empty(0, np.int64)]
        rest = np.arange(len(keys))
        at = (keys & _U(self._mask)).astype(np.int64)
        while len(rest):
            held = self._keys[at]
            known = held == keys
            found[rest[known]] = self._values[at[known]]
            free = np.flatnonzero(held == 0)
            self._keys[at[free]] = keys[free]
            # Of several that claim one place, the last has it; the others go on looking.
            first = free[self._keys[at[free]] == keys[free]]
            new = rest[first]
            numbers = self._next(len(new)) if given is None else given[new]
            self._values[at[first]] = found[new] = numbers
            fresh.append(new)
            known[first] = True
            left = np.flatnonzero(~known)
            rest, keys, at = rest[left], keys[left], (at[left] + 1) & self._mask
        return found, np.concatenate(fresh)

    def _next(self, count: int) -> Numbers:
        self.size += count
        return np.arange(self.size - count, self.size, dtype=np.int32)

    def _make_room(self, more: int) -> None:
        places = len(self._keys)
        while (self.size + more) * 5 > places * 4:
            places *= 2
        if places == len(self._keys):
            return
        keys, values = self._keys, self._values
        self._make(places)
        for start in range(0, len(keys), _SLICE):
            part = slice(start, start + _SLICE)
            held = keys[part] != 0
            self._placed(keys[part][held], values[part][held])


def hashes(names: pa.BinaryArray) -> Hashes:
    """``(names,)`` a number above zero for each name, from all its bytes.

    Eight bytes of every name are taken at a time, of the longest ones to the last.
    """
    offsets, data = _parts(names)
    padded = np.zeros(len(data) // 8 * 8 + 24, np.uint8)
    padded[: len(data)] = data
    words = padded.view(np.uint64)
    length = np.diff(offsets)
    count = np.maximum((length + 7) >> 3, 1)
    order = np.argsort(count, kind="stable")[::-1]
    length, count, start = length[order], count[order], offsets[:-1][order]
    shift, at = ((start & 7) << 3).astype(np.uint64), start >> 3
    mixed, low = length.astype(np.uint64) * _FACTORS[0], words[at]
    going = len(names)
    for step in range(int(count[0]) if going else 0):
        # The eight bytes lie in two words; those beyond the end of a name are cut off.
        high = words[at[:going] + (step + 1)]
        part = low[:going] >> shift[:going]
        part |= (high << _U(1)) << (_U(63) - shift[:going])
        on = int(np.searchsorted(-count, -(step + 1)))
        part[on:] &= _BEGINNING[length[on:going] - 8 * step]
        state = mixed[:going]
        state ^= part
        _mix(state)
        low, going = high, on
    found = np.empty_like(mixed)
    found[order] = np.maximum(mixed, _U(1))
    return found


def _mix(state: Hashes) -> None:
    """Let every bit depend on every bit, in place; anything less lets names alike collide."""
    state ^= state >> _U(33)
    state *= _FACTORS[0]
    state ^= state >> _U(29)
    state *= _FACTORS[1]
    state ^= state >> _U(32)


def marks(names: pa.BinaryArray) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Places]:
    """``(names,)`` the first and the last byte of each name, and how many it has.

    Of an empty name the bytes say nothing.
    """
    offsets, data = _parts(names)
    data = data if len(data) else np.zeros(1, np.uint8)
    first = data[np.minimum(offsets[:-1], len(data) - 1)]
    return first, data[offsets[1:] - 1], np.diff(offsets)


def _parts(names: pa.BinaryArray) -> tuple[Places, NDArray[np.uint8]]:
    """Where the names begin and end, and their bytes."""
    _, offsets, data = names.buffers()
    if not len(names):
        return np.zeros(1, np.int64), np.empty(0, np.uint8)
    places = np.frombuffer(offsets, np.int32)[names.offset : names.offset + len(names) + 1]
    return places.astype(np.int64), np.frombuffer(data or b"", np.uint8)
