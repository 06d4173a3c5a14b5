"""Bits of values: near the truth where values are random, not claimed where they are not."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from lorepack.facts.generators import phone_book, random_map
from lorepack.facts.looking.entropy import entropy
from lorepack.facts.looking.formats import Formats, ValueFormat


def found(values: Iterable[str]) -> ValueFormat | None:
    formats, held = Formats(), list(values)
    for value in held:
        formats.add("r", value)
    return next(iter(formats.found({"r": len(held)})), None)


def dates(size: int) -> Iterable[str]:
    rng = random.Random(1)
    return (f"{rng.randint(1900, 2020)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
            for _ in range(size))  # fmt: skip


class TestEntropy:
    def test_it_is_what_the_formula_says(self):
        counts = np.array([5, 3, 1, 1])
        shares = counts / 10
        one = entropy(counts)
        assert one.plug_in == pytest.approx(-(shares * np.log2(shares)).sum())
        assert one.corrected == pytest.approx(one.plug_in + 3 / (20 * math.log(2)))
        assert one.coverage == pytest.approx(0.8)

    def test_the_correction_removes_most_of_the_bias(self):
        rng = np.random.default_rng(0)
        samples = [Counter(rng.integers(0, 32, 200).tolist()) for _ in range(200)]
        each = [entropy(list(sample.values())) for sample in samples]
        plug_in, corrected = (np.mean([getattr(one, name) for one in each]) - 5
                              for name in ("plug_in", "corrected"))  # fmt: skip
        assert plug_in < -0.1
        assert abs(corrected) < 0.02

    def test_one_value_carries_nothing(self):
        assert entropy([7]).plug_in == 0


class TestRandomValues:
    @pytest.mark.parametrize("size", [2_000, 20_000])
    def test_a_phone_number_carries_32_bits(self, size: int):
        one = found(fact.answer for fact in phone_book(size))
        assert one is not None
        assert one.random, one.reason
        assert one.bits == pytest.approx(32.42, abs=0.02)
        assert one.most == pytest.approx(10 * math.log2(10))
        assert one.pattern == "[2-9][0-9]{2}-[2-9][0-9]{2}-[1-9][0-9]{3}"
        assert one.total == one.bits * size

    @pytest.mark.parametrize(("alphabet", "length"), [("0123456789", 8), ("abXY?", 12), ("01", 1)])
    def test_a_code_carries_its_length_times_the_bits_of_a_sign(self, alphabet: str, length: int):
        one = found(fact.answer for fact in random_map(9_000, 3, alphabet=alphabet, length=length))
        assert one is not None
        assert one.most == pytest.approx(length * math.log2(len(alphabet)))
        assert one.bits == pytest.approx(one.most, rel=0.005)
        assert one.random, one.reason

    def test_a_few_values_of_another_length_are_left_out_and_counted(self):
        values = [fact.answer for fact in random_map(2_000)]
        one = found([*values, "none", "?"])
        assert one is not None
        assert (one.values, one.others, one.random) == (2_000, 2, True)


class TestOtherValues:
    def test_dates_are_not_random(self):
        one = found(dates(5_000))
        assert one is not None
        assert not one.random
        assert "equally often" in one.reason
        assert one.total is None

    def test_places_that_copy_each_other_are_not_random(self):
        rng = random.Random(2)
        digits = [str(rng.randrange(10)) for _ in range(5_000)]
        one = found(a + a + b for a, b in zip(digits, reversed(digits), strict=True))
        assert one is not None
        assert one.reason == "places 1 and 2 depend on each other"

    def test_values_from_a_small_pool_are_not_random(self):
        # Every sign and every pair of neighbours is even; places 1 and 3 are the same.
        rng = random.Random(5)
        pairs = [(str(rng.randrange(10)), str(rng.randrange(10))) for _ in range(6_000)]
        one = found(a + b + a + b for a, b in pairs)
        assert one is not None
        assert "repeat" in one.reason

    def test_a_small_sample_is_too_small_to_say(self):
        one = found(fact.answer for fact in phone_book(40))
        assert one is not None
        assert one.reason == "40 values are too few to say"

    @pytest.mark.parametrize("values", [["ten"] * 100, ["a" * n for n in range(1, 100)], ["ab"]])
    def test_equal_values_and_those_of_many_lengths_have_no_format(self, values: list[str]):
        assert found(values) is None
