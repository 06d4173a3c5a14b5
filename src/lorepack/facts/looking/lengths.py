"""Lengths of texts: exact, since there are few different ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

BINS = 40


@dataclass(frozen=True)
class LengthSummary:
    """How long the texts are."""

    least: int
    median: int
    mean: float
    high: int
    """95 of 100 texts are no longer"""
    most: int
    total: int
    histogram: list[tuple[int, int, int]]
    """``(first, last, texts)`` over lengths of equal steps"""


class Lengths:
    """How many texts have which length."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, lengths: Iterable[int]) -> None:
        """Count several."""
        self._counts.update(lengths)

    def summary(self) -> LengthSummary:
        """What there is to say of at least one text."""
        counts = sorted(self._counts.items())
        texts = sum(n for _, n in counts)
        total = sum(length * n for length, n in counts)
        least, most = counts[0][0], counts[-1][0]
        step = max(1, -(-(most - least + 1) // BINS))
        bins: Counter[int] = Counter()
        for length, n in counts:
            bins[(length - least) // step] += n
        histogram = [
            (least + i * step, least + (i + 1) * step - 1, bins[i]) for i in range(max(bins) + 1)
        ]
        return LengthSummary(
            least, self._rank(0.5), total / texts, self._rank(0.95), most, total, histogram
        )

    def _rank(self, share: float) -> int:
        """The least length that this share of the texts does not exceed."""
        needed, seen = share * self._counts.total(), 0
        for length, count in sorted(self._counts.items()):
            seen += count
            if seen >= needed:
                return length
        raise AssertionError("no text was counted")
