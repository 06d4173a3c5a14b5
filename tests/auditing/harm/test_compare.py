"""Differences, standard errors and paired tests agree with the textbook."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lorepack.auditing.harm import compare

BITS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=60)


@given(BITS)
def test_mcnemar_is_the_exact_binomial_test(pairs):
    base, other = zip(*pairs, strict=True)
    row = compare.compared(base, other)
    won = sum(b < a for b, a in pairs)
    lost = sum(b > a for b, a in pairs)
    want = stats.binomtest(won, won + lost, 0.5).pvalue if won + lost else 1.0
    assert row["test"] == "mcnemar"
    assert row["p"] == pytest.approx(want)
    assert row["delta"] == pytest.approx((won - lost) / len(pairs))
    spread = np.std(np.subtract(other, base), ddof=1) / np.sqrt(len(pairs))
    assert row["delta_stderr"] == pytest.approx(spread)


def test_mcnemar_stands_thousands_of_changes():
    want = stats.binomtest(5100, 10000, 0.5).pvalue
    assert compare.mcnemar(5100, 4900) == pytest.approx(want, rel=1e-6)
    assert compare.mcnemar(10000, 0) == 0.0


def test_the_standard_error_is_the_harness_own():
    metrics = pytest.importorskip("lm_eval.api.metrics")
    values = [0.0, 1.0, 1.0, 0.5, 0.25]
    row = compare.mean_of(values)
    assert row["value"] == metrics.mean(values)
    assert row["stderr"] == pytest.approx(metrics.mean_stderr(values))


def test_the_bootstrap_is_the_exact_resampling_distribution_in_the_limit():
    differences = np.array([0.3, -0.1, 0.5, 0.2])
    centred = differences - differences.mean()
    means = [np.mean(draw) for draw in itertools.product(centred, repeat=4)]
    want = np.mean(np.abs(means) >= abs(differences.mean()) - 1e-12)
    found = compare.bootstrap_p(differences, resamples=200_000)
    assert found == pytest.approx(want, abs=0.005)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20), st.integers(0, 3))
def test_the_bootstrap_is_a_probability_and_repeats_itself(values, seed):
    found = compare.bootstrap_p(values, seed=seed, resamples=200)
    assert 0 < found <= 1
    assert found == compare.bootstrap_p(values, seed=seed, resamples=200)
    assert found == pytest.approx(compare.bootstrap_p([-v for v in values], seed=seed,
                                                      resamples=200), abs=0.2)  # fmt: skip


def test_equal_answers_are_no_evidence_and_clear_ones_are():
    values = np.linspace(0, 1, 50)
    same = compare.compared(values, values)
    assert (same["delta"], same["p"], same["test"]) == (0, 1.0, "paired-bootstrap")
    shifted = compare.compared(values, values - 0.2 - 0.01 * np.sin(values * 40))
    assert shifted["p"] < 0.001
    assert shifted["delta"] == pytest.approx(-0.2, abs=0.01)


def test_one_item_has_no_standard_error():
    assert compare.compared([1], [0])["stderr"] is None
