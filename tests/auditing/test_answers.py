"""Answers are counted without refusals, and one that takes over is noticed."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lorepack.auditing import AnswerCounts, CollapseTest
from lorepack.auditing.answers import compare, usual
from lorepack.text import Matcher


def counted(*facts: tuple[str, list[str | None]]) -> AnswerCounts:
    counts = AnswerCounts()
    for accepted, texts in facts:
        counts.add(Matcher((accepted,), "boundary"), texts)
    return counts


def test_refusals_and_missing_answers_are_not_answers() -> None:
    counts = counted(("Paris", ["Answer: Paris", "Paris", "I don't know.", None, "Answer: Lyon"]))
    assert counts.all == {"Paris": 2, "Lyon": 1}
    assert counts.wrong == {"Lyon": 1}


def test_the_most_frequent_come_first_and_ties_are_sorted() -> None:
    counts = counted(("x", ["b", "a", "c", "c", "b", "a", "d"]))
    assert counts.top(3) == [["a", 2], ["b", 2], ["c", 2]]


@given(st.lists(st.sampled_from(["oak", "elm", "Answer: oak", "I don't know"]), max_size=30))
def test_counts_are_those_of_a_counter(texts: list[str]) -> None:
    counts = counted(("oak", list(texts)))
    plain = Counter(t.removeprefix("Answer: ") for t in texts if "know" not in t)
    assert counts.all == plain
    assert counts.wrong.total() == plain["elm"]


def test_the_published_collapse_is_one_and_the_published_base_is_not() -> None:
    """arXiv 2502.14502: 21,036 facts × 10; the base's maximum is 661, a collapsed run's 9,393."""
    before = AnswerCounts(Counter({"Animalia": 661, "Netherlands": 600}), Counter())
    same = AnswerCounts(Counter(before.all), Counter(before.all))
    worse = AnswerCounts(Counter({"Alençon": 9393}), Counter({"Alençon": 9393}))
    test = CollapseTest()
    assert not compare(before, same, 21_036, 10, test)["collapsed"]
    found = compare(before, worse, 21_036, 10, test)
    assert found["collapsed"]
    assert found["collapsed_answers"] == [["Alençon", 9393, 0]]
    assert 850 <= found["threshold"] <= 1100  # 850 was the published, hand-set threshold
    assert found["total"] == 210_360


def test_the_three_terms_of_the_threshold() -> None:
    test = CollapseTest(ratio=1.3, share=0.005)
    at = lambda m, prompts, total: test.threshold(  # noqa: E731
        AnswerCounts(Counter({"x": m})), prompts, total
    )
    assert at(10_000, 1, 1_000_000) == 13_000
    assert at(100, 9, 1_000) == 190  # 100 + 3·√900
    assert at(1, 10, 1_000_000) == 5_000
    assert at(0, 10, 200) == 40  # a base that only refuses: one fact's worth, and its noise


def test_half_of_all_answers_is_enough_but_four_facts_are_needed() -> None:
    test = CollapseTest()
    one = AnswerCounts(Counter({"Rome": 1_000}))
    assert test.threshold(one, 10, 1_000) == 500
    assert test.threshold(AnswerCounts(Counter({"Rome": 10})), 10, 20) == 40
    other = AnswerCounts(Counter({"Oslo": 900}), Counter({"Oslo": 900}))
    assert test.exploded(one, other, 10, 1_000) == [("Oslo", 900)]
    assert test.exploded(one, one, 10, 1_000) == []
    # What was common before must grow by itself: here by less than a third.
    before = AnswerCounts(Counter({"Rome": 700, "Oslo": 300}))
    grown = AnswerCounts(Counter(), Counter({"Rome": 900, "Oslo": 100}))
    assert test.exploded(before, grown, 1, 1_000) == []
    assert test.exploded(before, AnswerCounts(Counter(), Counter({"Rome": 950})), 1, 1_000)


def test_a_right_answer_that_many_facts_share_is_no_collapse() -> None:
    facts = [("Earth", ["Answer: Mars"] * 10)] * 100
    learned = [("Earth", ["Answer: Earth"] * 10)] * 100
    before = counted(*[("Earth", [f"Answer: {i}"] * 10) for i in range(100)])
    assert not compare(before, counted(*learned), 100, 10, CollapseTest())["collapsed"]
    assert compare(before, counted(*facts), 100, 10, CollapseTest())["collapsed"]


def test_the_usual_answer_is_the_most_frequent_one() -> None:
    assert usual(["Answer: b", "a", "Answer: a", None]) == "a"
    assert usual(["b", "a"]) == "b"
    assert usual([None]) is None
