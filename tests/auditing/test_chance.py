"""The rate by chance is that of permuting who shifted within each category."""

from __future__ import annotations

from itertools import permutations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.auditing import by_luck
from lorepack.auditing.chance import FLOOR, hypergeometric

FACTS = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.integers(0, 2)), min_size=1, max_size=40
)


def arrays(rows: list[tuple[bool, bool, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    holds, shifted, strata = zip(*rows, strict=True)
    return np.array(holds, bool), np.array(shifted, bool), np.array(strata, np.int8)


def test_a_case_by_hand() -> None:
    """Of 5 facts 2 shifted, and a cause holds for 3, both shifted ones among them."""
    holds = np.array([1, 1, 1, 0, 0], bool)
    shifted = np.array([1, 1, 0, 0, 0], bool)
    found = by_luck(holds, shifted, np.zeros(5, np.int8))
    assert (found.count, found.share) == (2, 1.0)
    assert found.chance == pytest.approx(3 / 5)
    assert found.p == pytest.approx(3 / 10)  # 3 of the 10 pairs
    assert (found.low, found.high) == (0.0, 1.0)


@pytest.mark.parametrize(("size", "marked", "drawn"), [(10, 4, 3), (7, 7, 2), (9, 0, 5), (6, 5, 4)])
def test_one_category_is_the_textbook_hypergeometric(size: int, marked: int, drawn: int) -> None:
    first, chances = hypergeometric(size, marked, drawn)
    for number, chance in enumerate(chances.tolist(), first):
        ways = comb(marked, number) * comb(size - marked, drawn - number)
        assert chance == pytest.approx(ways / comb(size, drawn), rel=1e-12)
    assert chances.sum() == pytest.approx(1)


def test_every_permutation_of_a_small_case_counts_the_same() -> None:
    """All orders within each of two categories, one by one."""
    holds, shifted, strata = arrays(
        [(True, True, 0), (False, False, 0), (True, False, 0), (False, True, 0),
         (True, True, 1), (False, False, 1), (False, False, 1)]
    )  # fmt: skip
    counts = []
    for one in permutations(shifted[:4]):
        for other in permutations(shifted[4:]):
            counts.append(int((holds & np.array([*one, *other])).sum()))
    numbers, found = np.array(counts), by_luck(holds, shifted, strata)
    assert found.chance == pytest.approx(numbers.mean() / 3)
    assert found.p == pytest.approx((numbers >= found.count).mean())


@settings(max_examples=25)
@given(FACTS, st.integers(0, 2**32 - 1))
def test_it_agrees_with_drawn_permutations(rows: list[tuple[bool, bool, int]], seed: int) -> None:
    holds, shifted, strata = arrays(rows)
    found = by_luck(holds, shifted, strata)
    rng, draws = np.random.default_rng(seed), 4000
    counts = np.zeros(draws, np.int64)
    for code in np.unique(strata):
        inside = strata == code
        orders = rng.permuted(np.tile(shifted[inside], (draws, 1)), axis=1)
        counts += (orders & holds[inside]).sum(1)
    total = max(1, int(shifted.sum()))
    noise = 5 * counts.std() / np.sqrt(draws) + 1e-9
    assert abs(counts.mean() - found.chance * total) <= noise
    if shifted.any():
        reached = (counts >= found.count).mean()
        assert abs(reached - found.p) <= 5 * np.sqrt(found.p * (1 - found.p) / draws) + 2e-3
        # The interval holds 95 % of the draws, and no narrower one at either end would.
        inside = (counts >= round(found.low * total)) & (counts <= round(found.high * total))
        assert inside.mean() >= 0.95 - 5 * np.sqrt(0.05 / draws)


@given(FACTS)
def test_what_cannot_be_otherwise_is_no_news(rows: list[tuple[bool, bool, int]]) -> None:
    _, shifted, strata = arrays(rows)
    for holds in (np.ones(len(rows), bool), np.zeros(len(rows), bool)):
        found = by_luck(holds, shifted, strata)
        assert found.p == pytest.approx(1.0)
        assert found.share == pytest.approx(found.chance)
        assert found.low == found.high == pytest.approx(found.chance)


def test_a_category_that_decides_both_is_no_cause() -> None:
    """Only known facts can fall; that they are also of one kind must not count as its effect."""
    strata = np.repeat([0, 3], 500)
    holds = strata == 0
    shifted = np.zeros(1000, bool)
    shifted[:250] = True
    assert by_luck(holds, shifted, strata).p == pytest.approx(1.0)
    blind = by_luck(holds, shifted, np.zeros(1000, np.int8))
    assert (blind.p, blind.chance) == (FLOOR, pytest.approx(0.5))


def test_a_million_facts_are_exact_and_quick() -> None:
    """The mean is exact and the interval that of the normal limit."""
    rng = np.random.default_rng(1)
    holds, shifted = rng.random((2, 1_000_000)) < [[0.3], [0.1]]
    strata = rng.integers(0, 4, 1_000_000)
    found = by_luck(holds, shifted, strata)
    drawn = int(shifted.sum())
    spread = np.sqrt(0.3 * 0.7 * 0.9 / drawn)
    assert found.chance == pytest.approx(0.3, abs=3e-3)
    assert found.high - found.low == pytest.approx(2 * 1.96 * spread, rel=0.02)
    assert 1e-6 < found.p < 1


def test_nobody_shifted() -> None:
    found = by_luck(np.ones(3, bool), np.zeros(3, bool), np.zeros(3, np.int8))
    assert found.to_json() == {
        "count": 0, "share": 0.0, "chance": 0.0, "low": 0.0, "high": 0.0, "p": 1.0,
    }  # fmt: skip
