"""SliCK's categories are what their definition says, for every count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.errors import InputError
from lorepack.probing import CATEGORIES, label
from lorepack.probing.categories import count


@pytest.mark.parametrize(
    ("k", "sampled", "four", "three"),
    [
        (10, 160, "HighlyKnown", "HighlyKnown"),
        (10, 0, "HighlyKnown", "HighlyKnown"),
        (9, 160, "MaybeKnown", "MaybeKnown"),
        (1, 0, "MaybeKnown", "MaybeKnown"),
        (0, 160, "WeaklyKnown", "Unknown"),
        (0, 1, "WeaklyKnown", "Unknown"),
        (0, 0, "Unknown", "Unknown"),
    ],
)
def test_every_row_of_the_definition(k: int, sampled: int, four: str, three: str) -> None:
    assert CATEGORIES[int(label(k, 10, sampled))] == four
    assert CATEGORIES[int(label(k, 10, sampled, ways=3))] == three


@given(st.integers(1, 20), st.data())
def test_more_correct_answers_never_make_a_fact_less_known(n: int, data: st.DataObject) -> None:
    k = np.arange(n + 1)
    sampled = np.sort(data.draw(st.lists(st.integers(0, 9), min_size=n + 1, max_size=n + 1)))
    for ways in (3, 4):
        codes = label(k, n, sampled, ways)  # codes count from the best known
        assert (np.diff(codes) <= 0).all()
        assert codes[-1] == 0
        assert codes[0] == (2 if ways == 4 and sampled[0] > 0 else 3)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1))
def test_three_ways_differ_from_four_in_weakly_known_alone(rows: list[tuple[int, int]]) -> None:
    k, sampled = np.array(rows).T
    four, three = label(k, 5, sampled), label(k, 5, sampled, ways=3)
    assert (three == np.where(four == 2, 3, four)).all()


def test_counts_name_every_category() -> None:
    codes = label([5, 5, 0], 5, 0)
    assert count(codes) == {"HighlyKnown": 2, "MaybeKnown": 0, "WeaklyKnown": 0, "Unknown": 1}


def test_there_are_no_five_ways() -> None:
    with pytest.raises(InputError, match="3 or 4"):
        label(1, 2, 0, ways=5)
