"""Near-duplicates: passages that share most of their sequences of five words.

Candidates come from MinHash signatures cut into bands; each is then checked exactly. A signature
is forgotten at once: of a million passages of 200 words, the memory holds about 300 MB of places
and names, and a temporary file their sequences, 1.5 GB.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from array import array
from collections.abc import Iterator
from typing import IO, Any

import numpy as np

from lorepack.errors import InputError, WriteError
from lorepack.facts.documents.tokens import WORD

_LENGTH = 5
_HASHES = 48
_SLICE = 8_192  # sequences whose hashes are held at once
_STORED_ALIKE = 16
"""passages that are remembered under one band"""
_MIX = np.uint64(0x9E3779B97F4A7C15)
_ODD = np.uint64(1)
_HIGHEST = np.uint64(0xFFFFFFFFFFFFFFFF)

Numbers = np.ndarray[Any, np.dtype[np.uint64]]


class Seen:
    """The passages that were kept so far; used in a ``with`` block."""

    def __init__(self, threshold: float = 0.9) -> None:
        """Begin with none.

        Args:
            threshold: Jaccard similarity from which a passage is a near-duplicate, 0.5 to 1.

        Raises:
            InputError: another threshold.
        """
        if not 0.5 <= threshold <= 1:
            raise InputError(f"similarity {threshold}: expected 0.5 to 1")
        self.threshold = threshold
        # Misses at the threshold: 0.2 % at 0.9 with bands of six, none to speak of with three.
        self._rows = 6 if threshold >= 0.85 else 3
        draw = np.random.Generator(np.random.PCG64(2502))
        self._factors = draw.integers(0, 2**64, _HASHES, dtype=np.uint64) | _ODD
        self._places = array("Q", [0])
        self._ids: list[bytes] = []
        self._bands = _Table()
        self._file: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115

    def __enter__(self) -> Seen:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def like(self, text: str, name: str) -> tuple[str, float] | None:
        """The first passage that is nearly the same; without one, this is kept.

        Args:
            text: of a passage.
            name: what later ones are to call it.

        Returns:
            Name and similarity of the earlier passage, or None.

        Raises:
            WriteError: no space for the temporary file.
        """
        found = shingles(text)
        keys = self._keys(found)
        for number in sorted({n for key in keys for n in self._bands.get(key)}):
            alike = jaccard(found, self._stored(number))
            if alike >= self.threshold:
                return self._ids[number].decode(), alike
        self._keep(found, keys, name)
        return None

    def _keys(self, found: Numbers) -> list[int]:
        """A number for each band of the signature."""
        lowest = np.full(_HASHES, _HIGHEST)
        for start in range(0, len(found), _SLICE):  # a passage may be a whole book
            part = (found[start : start + _SLICE, None] * self._factors).min(axis=0)
            np.minimum(lowest, part, out=lowest)
        bands = lowest.reshape(-1, self._rows)
        keys = np.arange(1, len(bands) + 1, dtype=np.uint64)
        for column in bands.T:
            keys = _mixed(keys * _MIX + column)
        return [int(key) or 1 for key in keys]

    def _stored(self, number: int) -> Numbers:
        start, end = self._places[number], self._places[number + 1]
        data = os.pread(self._file.fileno(), end - start, start)
        return np.frombuffer(data, dtype=np.uint64)

    def _keep(self, found: Numbers, keys: list[int], name: str) -> None:
        start = self._places[-1]
        try:
            written = os.pwrite(self._file.fileno(), found.tobytes(), start)
        except OSError as error:
            raise WriteError(f"no room in {tempfile.gettempdir()} ({error.strerror})") from error
        if written != found.nbytes:
            raise WriteError(f"no room in {tempfile.gettempdir()}")
        for key in keys:
            self._bands.add(key, len(self._ids))
        self._places.append(start + found.nbytes)
        self._ids.append(name.encode())


class _Table:
    """Numbers by key, several to a key, in 12 bytes a place: a dictionary takes ten times that."""

    def __init__(self) -> None:
        self._size = 1 << 12
        self._used = 0
        self._clear()

    def _clear(self) -> None:
        self._keys = array("Q", bytes(8 * self._size))  # 0: empty
        self._values = array("I", bytes(4 * self._size))

    def get(self, key: int) -> Iterator[int]:
        """The numbers of a key."""
        at = key % self._size
        while held := self._keys[at]:
            if held == key:
                yield self._values[at]
            at = (at + 1) % self._size

    def add(self, key: int, value: int) -> None:
        """Add a number to a key, unless it has very many."""
        if sum(1 for _ in self.get(key)) >= _STORED_ALIKE:
            return
        if self._used * 5 >= self._size * 3:
            self._grow()
        self._put(key, value)

    def _put(self, key: int, value: int) -> None:
        at = key % self._size
        while self._keys[at]:
            at = (at + 1) % self._size
        self._keys[at], self._values[at] = key, value
        self._used += 1

    def _grow(self) -> None:
        keys, values = self._keys, self._values
        self._size, self._used = 2 * self._size, 0
        self._clear()
        for key, value in zip(keys, values, strict=True):
            if key:
                self._put(key, value)


def shingles(text: str) -> Numbers:
    """A number for each different sequence of five words, sorted; a short text is one sequence."""
    words = WORD.findall(text.lower()) or [text.strip()]
    numbers = np.array([_number(word) for word in words], dtype=np.uint64)
    length = min(_LENGTH, len(numbers))
    count = len(numbers) - length + 1
    mixed = np.full(count, len(words) if length < _LENGTH else _LENGTH, dtype=np.uint64)
    for i in range(length):
        mixed = _mixed(mixed * _MIX + numbers[i : i + count])
    return np.unique(mixed)


def jaccard(one: Numbers, other: Numbers) -> float:
    """What two sorted sets share of what they hold together."""
    shared = np.intersect1d(one, other, assume_unique=True).size
    return float(shared / (one.size + other.size - shared))


@functools.lru_cache(maxsize=1 << 16)
def _number(word: str) -> int:
    data = word.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def _mixed(numbers: Numbers) -> Numbers:
    """Every bit of the result depends on every bit (the last step of MurmurHash3)."""
    numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return numbers ^ (numbers >> np.uint64(33))
