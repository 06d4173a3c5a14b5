"""The first place of every text is known, however many there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lorepack.synthesis.repeats import Repeats


@given(st.lists(st.text(st.characters(), max_size=3), max_size=200))
def test_every_text_is_found_where_it_came_first(texts):
    seen, first = Repeats(), {}
    for place, text in enumerate(texts):
        assert seen.first(text, place) == first.get(text)
        first.setdefault(text, place)
    assert len(seen) == len(first)


def test_many_texts_are_told_apart():
    seen = Repeats()
    assert all(seen.first(str(n), n) is None for n in range(20_000))
    assert all(seen.first(str(n), 0) == n for n in range(20_000))
