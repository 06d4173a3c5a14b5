"""Shifts are counted from the transition matrix, under both denominators."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.auditing import negative, positive, transitions

HK, MK, WK, UK = range(4)
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)


def test_a_case_by_hand() -> None:
    before = np.array([HK, HK, HK, MK, MK, WK, UK, UK, UK, UK], np.int8)
    after = np.array([HK, MK, UK, HK, UK, UK, UK, UK, HK, WK], np.int8)
    matrix = transitions(before, after)
    assert matrix.tolist() == [[1, 1, 0, 1], [1, 0, 0, 1], [0, 0, 0, 1], [1, 0, 1, 2]]
    up, down = positive(matrix), negative(matrix)
    assert (up.count, up.of_all, up.of_movable) == (3, 3 / 10, 3 / 7)  # 3 were HighlyKnown
    assert (down.count, down.of_all, down.of_movable) == (4, 4 / 10, 4 / 6)  # 4 were Unknown


def test_the_published_example_of_both_denominators() -> None:
    """arXiv 2502.14502: 21,036 facts, 2,732 HK and 3,931 MK; 4,481 negative shifts are .213."""
    matrix = np.zeros((4, 4), np.int64)
    matrix[HK] = [1000, 598, 0, 1134]
    matrix[MK] = [0, 1182, 0, 2749]
    matrix[UK, UK] = 14373
    down = negative(matrix)
    assert down.count == 4481
    assert down.of_all == pytest.approx(0.213, abs=5e-4)
    assert down.of_movable == pytest.approx(4481 / 6663)


@given(PAIRS)
def test_the_matrix_agrees_with_counting_one_by_one(pairs: list[tuple[int, int]]) -> None:
    before, after = np.array(pairs, np.int8).T
    matrix = transitions(before, after)
    for row in range(4):
        for column in range(4):
            assert matrix[row, column] == pairs.count((row, column))
    assert matrix.sum() == len(pairs)
    assert matrix.sum(1).tolist() == [int((before == c).sum()) for c in range(4)]
    assert matrix.sum(0).tolist() == [int((after == c).sum()) for c in range(4)]


@given(PAIRS)
def test_shifts_and_what_stayed_are_all_facts(pairs: list[tuple[int, int]]) -> None:
    before, after = np.array(pairs, np.int8).T
    matrix = transitions(before, after)
    up, down = positive(matrix), negative(matrix)
    assert up.count == sum(a < b for b, a in pairs)
    assert down.count == sum(a > b for b, a in pairs)
    assert up.count + down.count + int(np.trace(matrix)) == len(pairs)
    for shift in (up, down):
        assert shift.of_movable is None or shift.of_movable >= shift.of_all
    back = transitions(after, before)
    assert (positive(back).count, negative(back).count) == (down.count, up.count)


def test_nothing_that_could_move_has_no_share() -> None:
    nobody = np.zeros((4, 4), np.int64)
    assert positive(nobody).to_json() == {"count": 0, "of_all": None, "of_movable": None}
    known = nobody.copy()
    known[HK, HK] = 5
    assert positive(known).to_json() == {"count": 0, "of_all": 0.0, "of_movable": None}
    assert negative(known).of_movable == 0.0
