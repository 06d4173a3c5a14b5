"""Counters: exact while there is room, and honest about it when there is not."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.facts.looking.counting import Distinct, Frequent
from lorepack.facts.looking.fingerprints import fingerprint, seeded


class TestFrequent:
    @given(st.lists(st.integers(0, 40).map(str), max_size=300), st.integers(1, 20))
    def test_a_count_is_too_low_by_what_was_missed_at_most(self, texts: list[str], room: int):
        found, true = Frequent(room), Counter(texts)
        for text in texts:
            found.add(text, text)
        held = dict(found.top())
        assert len(held) <= 2 * room
        assert found.missed <= len(texts) / room
        for text, count in true.items():
            assert count - found.missed <= held.get(text, 0) <= count

    def test_it_is_exact_while_there_is_room(self):
        found = Frequent(2)
        for text in "abcabca":
            found.add(text, text.upper())
        assert found.top() == [("a", 3), ("b", 2), ("c", 2)]
        assert (found.missed, found.shown("a")) == (0, "A")


class TestDistinct:
    @given(st.lists(st.integers(0, 60), max_size=400))
    def test_all_counts_are_exact_while_there_is_room(self, numbers: list[int]):
        found, true = Distinct(), Counter(numbers)
        for number in numbers:
            found.add(fingerprint(str(number)), number % 3)
        assert (found.count, found.exact) == (len(true), True)
        groups, counts = found.tally()
        assert sorted(zip(groups.tolist(), counts.tolist(), strict=True)) == sorted(
            (number % 3, count) for number, count in true.items()
        )
        for number, count in true.items():
            assert found.count_of(fingerprint(str(number))) == count

    def test_of_too_many_a_fair_part_is_held_with_exact_counts(self):
        found = Distinct(most=2_000)
        rng = random.Random(4)
        true = Counter(rng.randrange(50_000) for _ in range(200_000))
        for number in true.elements():
            found.add(fingerprint(str(number)))
        assert not found.exact
        assert found.count == pytest.approx(len(true), rel=5 * 1.2 / 2_000**0.5)
        held = {number: found.count_of(fingerprint(str(number))) for number in true}
        held = {number: count for number, count in held.items() if count is not None}
        assert len(held) * found.scale == found.count
        assert all(true[number] == count for number, count in held.items())


def test_seeded_numbers_are_even_and_differ_by_seed():
    numbers = np.arange(40_000, dtype=np.uint64)
    one, other = seeded(numbers, 1), seeded(numbers, 2)
    assert len(np.unique(one)) == len(numbers)
    for drawn in (one, other):
        counts = np.bincount((drawn >> np.uint64(61)).astype(int), minlength=8)
        assert abs(counts - 5_000).max() < 6 * 5_000**0.5
    agree = ((one >> np.uint64(63)) == (other >> np.uint64(63))).mean()
    assert agree == pytest.approx(0.5, abs=0.02)
