"""Finding the texts that are most alike by ROUGE-L, without comparing with each of them.

The words that two texts have in common, in whatever order, bound their common subsequence from
above. An index from words to texts gives that bound for all texts at once; only those whose
bound reaches what is looked for are compared. The outcome is that of comparing with all.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import LCSseq

from lorepack.synthesis.rouge import words

_FIRST = 16
"""texts that are compared at first; each next lot is four times as large"""
_MOST_WORDS = 500_000
"""different words of one index: each is a character, and Unicode has 1,114,111"""

Floats = np.ndarray[Any, np.dtype[np.float64]]
Places = np.ndarray[Any, np.dtype[np.int64]]


class Texts:
    """Texts that can be asked which of them is most like another; more can be added."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}  # word -> the character that stands for it
        self._coded: list[str] = []
        self._lengths = array("q")
        # (character, how often it came before in its text) -> the texts that hold it so often
        self._holders: dict[tuple[str, int], array[int]] = {}

    def __len__(self) -> int:
        return len(self._coded)

    @property
    def full(self) -> bool:
        """Whether another index should be begun."""
        return len(self._ids) > _MOST_WORDS

    def add(self, text: str) -> None:
        """Add a text; its place is how many there were before."""
        ids = self._ids
        coded = "".join([ids.setdefault(word, chr(len(ids) + 1)) for word in words(text)])
        for key in _counted(coded):
            self._holders.setdefault(key, array("q")).append(len(self._coded))
        self._lengths.append(len(coded))
        self._coded.append(coded)

    def best(self, text: str, at_least: float = 0.0) -> tuple[float, int]:
        """The most similar text.

        Args:
            text: to compare with.
            at_least: what is less alike is not looked for.

        Returns:
            Its ROUGE-L and its place, the first of several; ``(0.0, -1)`` when there is none
            that is alike at all, or enough.
        """
        bounds = self.bounds(text)
        best, place = 0.0, -1
        for lot in _lots(bounds, at_least):
            if bounds[lot[0]] < best:
                break
            found = self.scores(text, lot)
            top = float(found.max())
            first = int(lot[found == top].min())
            if top >= at_least and (top > best or (top == best and first < place)):
                best, place = top, first
        return best, place

    def alike(self, text: str, at_least: float) -> list[tuple[float, int]]:
        """ROUGE-L and place of all texts that are ``at_least`` so similar; the best first."""
        places = np.flatnonzero(self.bounds(text) >= at_least)
        found = self.scores(text, places)
        enough = found >= at_least
        pairs = zip(found[enough].tolist(), places[enough].tolist(), strict=True)
        return sorted(pairs, key=lambda pair: (-pair[0], pair[1]))

    def bounds(self, text: str) -> Floats:
        """For every text, what its ROUGE-L cannot exceed."""
        coded = self._code(text)
        lengths = np.frombuffer(self._lengths, dtype=np.int64) if self._coded else np.zeros(0)
        holders = [np.frombuffer(held, np.int64) for held in self._holding(coded)]
        if not holders:
            return np.zeros(len(self))
        common = np.bincount(np.concatenate(holders), minlength=len(self))
        return 2 * common / (lengths + len(coded))

    def scores(self, text: str, places: Places) -> Floats:
        """ROUGE-L with the texts at these places."""
        if not places.size:
            return np.zeros(0)
        coded = self._code(text)
        chosen = [self._coded[place] for place in places]
        common = process.cdist([coded], chosen, scorer=LCSseq.similarity, dtype=np.int64)[0]
        lengths = np.frombuffer(self._lengths, dtype=np.int64)[places] + len(coded)
        return 2 * common / np.maximum(lengths, 1)

    def _code(self, text: str) -> str:
        return "".join([self._ids.get(word, "\0") for word in words(text)])

    def _holding(self, coded: str) -> Iterator[array[int]]:
        for key in _counted(coded):
            if held := self._holders.get(key):
                yield held


def _counted(coded: str) -> Iterator[tuple[str, int]]:
    """Each character with how often it came before; two texts share their equal pairs."""
    if len(set(coded)) == len(coded):
        yield from ((char, 0) for char in coded)
        return
    seen: dict[str, int] = {}
    for char in coded:
        before = seen.get(char, 0)
        seen[char] = before + 1
        yield char, before


def _lots(bounds: Floats, at_least: float) -> Iterator[Places]:
    """Places by descending bound, in growing lots; those that cannot be alike at all left out."""
    size, done = _FIRST, 0
    possible = np.flatnonzero((bounds >= at_least) & (bounds > 0))
    while done < len(possible):
        rest = possible[done:]
        if len(rest) > size:
            order = np.argpartition(-bounds[rest], size - 1)
            possible[done:] = rest[order]
        lot = possible[done : done + size]
        yield lot[np.argsort(-bounds[lot], kind="stable")]
        done, size = done + size, size * 4
