"""What was written before in a run, whatever document it was written of."""

from __future__ import annotations

import hashlib
from array import array

_FULL = 0.6


class Repeats:
    """The first place of each text: 20 to 40 bytes a text, however long it is.

    Texts are told apart by 64 bits of a hash: among a million, two that differ are taken for one
    in one of 40 million runs.
    """

    def __init__(self) -> None:
        self._size, self._used = 1 << 10, 0
        self._clear()

    def __len__(self) -> int:
        return self._used

    def _clear(self) -> None:
        self._keys = array("Q", bytes(8 * self._size))  # 0: empty
        self._places = array("Q", bytes(8 * self._size))

    def first(self, text: str, place: int) -> int | None:
        """Where a text came before; when it did not, this place is remembered."""
        data = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        key = int.from_bytes(data, "little") or 1
        at = self._find(key)
        if self._keys[at]:
            return self._places[at]
        self._keys[at], self._places[at] = key, place
        self._used += 1
        if self._used > _FULL * self._size:
            self._grow()
        return None

    def _find(self, key: int) -> int:
        """Where a key is, or where it belongs."""
        at = key % self._size
        while self._keys[at] not in (0, key):
            at = (at + 1) % self._size
        return at

    def _grow(self) -> None:
        keys, places = self._keys, self._places
        self._size *= 2
        self._clear()
        for key, place in zip(keys, places, strict=True):
            if key:
                at = self._find(key)
                self._keys[at], self._places[at] = key, place
