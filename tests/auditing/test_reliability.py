"""Reliability and its intervals agree with resampling facts one by one."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.auditing import bootstrap, generality, reliability


def test_a_case_by_hand() -> None:
    row = reliability(np.array([4, 4, 1, 0]), np.array([4, 4, 4, 4]))
    assert row is not None
    assert (row["mean"], row["all"], row["any"]) == (9 / 16, 0.5, 0.75)
    assert (row["facts"], row["prompts"]) == (4, 4)
    assert row["low"] < row["mean"] < row["high"]
    assert row["all_low"] < row["all"] < row["all_high"]
    assert reliability(np.array([], int), np.array([], int)) is None


def test_the_interval_is_that_of_drawing_facts() -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 11, 300) / 10
    fast = bootstrap(values, seed=1, resamples=20_000)
    means = values[rng.integers(0, 300, (20_000, 300))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    assert fast.mean == pytest.approx(values.mean(), abs=1e-12)
    assert fast.low == pytest.approx(low, abs=0.002)
    assert fast.high == pytest.approx(high, abs=0.002)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.integers(0, 5))
@settings(deadline=None)
def test_the_interval_holds_the_mean(values: list[float], seed: int) -> None:
    found = bootstrap(values, seed=seed, resamples=200)
    assert 0 <= found.low <= found.mean <= found.high <= 1 + 1e-12
    assert found == bootstrap(values[::-1], seed=seed, resamples=200) or len(set(values)) > 1


def test_the_seed_decides_and_more_facts_narrow() -> None:
    values = np.arange(100) % 7 / 6
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3)
    assert bootstrap(values, seed=3) != bootstrap(values, seed=4)
    few, many = bootstrap(values), bootstrap(np.tile(values, 100))
    assert many.high - many.low < (few.high - few.low) / 5


def test_a_million_facts_take_no_time_worth_waiting_for() -> None:
    k = np.arange(1_000_000) % 11
    start = time.process_time()
    row = reliability(k, np.full(1_000_000, 10))
    assert row is not None
    assert row["mean"] == pytest.approx(0.5, abs=1e-4)
    assert time.process_time() - start < 2


def test_generality_is_a_mean_over_facts_of_a_mean_over_wordings() -> None:
    row = generality(np.array([7, 7, 7, 3]), np.array([1.0, 1.0, 0.4, 0.2]))
    assert row is not None
    assert row["mean"] == pytest.approx((0.8 + 0.2) / 2)
    assert (row["facts"], row["wordings"]) == (2, 4)
    assert generality(np.array([], int), np.array([])) is None
