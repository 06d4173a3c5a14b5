"""Many phrases at once are found where a matcher of all of them finds one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.auditing.phrases import Phrases
from lorepack.text import RULES, Matcher

TEXT = st.lists(
    st.sampled_from(
        ["the", "Paris", "par", "is", "New York", "York", "3.5", "ß", "京都", "c++", "."]
    ),
    max_size=6,
).map(" ".join)


@pytest.mark.parametrize("rule", RULES)
@given(st.lists(TEXT, max_size=6), TEXT, st.sampled_from(["", "Answer: "]))
def test_as_one_matcher(rule: str, phrases: list[str], text: str, label: str) -> None:
    known = [phrase for phrase in phrases if phrase]
    assert Phrases(known, rule).within(label + text) == Matcher(known, rule)(label + text)


@pytest.mark.parametrize("rule", RULES)
def test_what_is_empty_is_in_nothing(rule: str) -> None:
    found = Phrases([""], rule)
    assert len(found) == 0
    assert not found.within("Answer: Paris")
    assert not Phrases([], rule).within("")


def test_short_and_long_phrases_of_one_beginning() -> None:
    found = Phrases(["New", "New South Wales", "Us"], "boundary")
    assert found.within("Answer: in New South Wales, Australia")
    assert not found.within("Answer: Newcastle")
    raw = Phrases(["us", "new south"], "substring")
    assert raw.within("Answer: Museum")
    assert not raw.within("Answer: news outlet")
