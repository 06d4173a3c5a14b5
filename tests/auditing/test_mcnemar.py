"""Exact p-values against scipy, against brute force, and by what a p-value promises."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.auditing.mcnemar import holm, majority, mcnemar

COUNTS = st.integers(0, 60)


@given(COUNTS, COUNTS)
def test_the_p_value_is_the_binomial_sum_done_by_hand(a: int, b: int) -> None:
    tail = sum(comb(a + b, i) for i in range(min(a, b) + 1))
    assert mcnemar(a, b) == pytest.approx(min(1.0, 2 * tail / 2 ** (a + b)), rel=1e-9)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (1, 0), (7, 2), (120, 80), (5000, 5300), (0, 900)])
def test_the_p_value_is_that_of_scipy(a: int, b: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    want = stats.binomtest(a, a + b, 0.5).pvalue if a + b else 1.0
    assert mcnemar(a, b) == pytest.approx(want, rel=1e-7)


def test_a_million_facts_do_not_underflow() -> None:
    assert 0 < mcnemar(499_000, 501_000) < 0.1
    assert mcnemar(100, 900_000) == 0.0


@given(COUNTS, COUNTS)
def test_the_order_of_the_two_does_not_matter(a: int, b: int) -> None:
    assert mcnemar(a, b) == mcnemar(b, a)


def test_under_the_null_it_rejects_at_most_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).binomial(40, 0.5, 4000)
    rejected = np.mean([mcnemar(int(x), 40 - int(x)) < 0.05 for x in draws])
    assert rejected <= 0.05 + 3 * (0.05 / 4000) ** 0.5


def test_half_of_the_answers_is_no_majority() -> None:
    found = majority(np.array([0, 5, 6, 10]), np.array([10, 10, 10, 10]))
    assert found.tolist() == [False, False, True, True]


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.6, 0.9]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_never_lowers_a_value_and_keeps_the_order(values: list[float]) -> None:
    found = holm(values)
    assert all(new >= old for new, old in zip(found, values, strict=True))
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert [found[i] for i in order] == sorted(found)
    assert max(found) <= 1
    assert min(found) <= min(1.0, len(values) * min(values))
