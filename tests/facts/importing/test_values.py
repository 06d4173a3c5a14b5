"""Lists, lists in strings, numbers and missing values become texts; nothing is made up."""

from __future__ import annotations

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.facts import Fact
from lorepack.facts.importing.values import fact, found, listed, texts
from lorepack.facts.rows import RowError


@given(many=st.lists(st.text(), max_size=6))
def test_a_list_in_a_string_is_read_in_either_spelling(many: list[str]) -> None:
    assert listed(json.dumps(many), "x") == many
    assert listed(json.dumps(many, ensure_ascii=False), "x") == many
    assert listed(f" {many!r}\n", "x") == many


@pytest.mark.parametrize("text", ["[0, 1)", "[sic]", "[1, 2]", "a ['b']", "", "x", "[x] and [y]"])
def test_what_only_looks_like_a_list_stays_a_text(text: str) -> None:
    assert listed(text, "x") == text


@pytest.mark.parametrize(
    "text",
    [
        "['a' 'b']",  # as numpy prints it: Python would read 'ab'
        "['a ' 'b']",
        "['a'\n 'b']",
        "['a', 'b'",
        "['a', 1, 'b']",
        "['a', open('b')]".replace("open('b')", "f'{1}'"),
        "['" + "x" * 100_000 + "', \"it's\"]",
        "['a'" + ", -" * 5_000 + "'b']",
    ],
)
def test_a_list_that_cannot_be_read_for_certain_is_not_guessed(text: str) -> None:
    if text.endswith("]"):
        with pytest.raises(RowError) as error:
            listed(text, "answer")
        assert error.value.kind == "schema_list"
    else:
        assert listed(text, "answer") == text


@given(text=st.text("[]'\", ab\\\n{}()-", max_size=30))
def test_no_string_breaks_it(text: str) -> None:
    try:
        value = listed(text, "x")
    except RowError as error:
        value = error.kind
    assert value in (text, "schema_list") or all(isinstance(item, str) for item in value)


def test_numbers_and_dates_become_texts_and_other_things_do_not() -> None:
    values = ["a", 1998, None, 3.5, [datetime.date(1998, 2, 1)], ["b", ["c"]]]
    assert texts(values, "x") == ["a", "1998", "3.5", "1998-02-01", "b", "c"]
    for wrong in (True, {"a": 1}, float("nan"), 10**5_000, [[[["deep"]]]]):
        with pytest.raises(RowError):
            texts(wrong, "x")


def test_a_fact_keeps_every_answer_once() -> None:
    made = fact(" Who? ", ["", "Ann ", "A.", "Ann", "A."], ["By whom?", "Who?", "By whom?"])
    assert made == Fact("Who?", "Ann", aliases=("A.",), paraphrases=("By whom?",))


def test_an_alias_does_not_stand_for_a_missing_answer() -> None:
    assert fact("Who?", "Ann", aliases=["A.", "Ann"]).accepted == ("Ann", "A.")
    with pytest.raises(RowError, match="no accepted answer"):
        fact("Who?", "", aliases=["A."])


@pytest.mark.parametrize(
    ("question", "answers", "kind"),
    [
        ("Who?", [], "no_answer"),
        ("Who?", None, "no_answer"),
        ("Who?", [" ", None], "no_answer"),
        (None, "Ann", "schema_missing"),
        (" ", "Ann", "schema_missing"),
        (7, "Ann", "schema_type"),
        ("Who\0?", "Ann", "schema_encoding"),
        ("Who?", "\ud800", "schema_encoding"),
    ],
)
def test_why_there_is_no_fact(question: object, answers: object, kind: str) -> None:
    with pytest.raises(RowError) as error:
        fact(question, answers)
    assert error.value.kind == kind


def test_names_lead_into_objects_and_lists() -> None:
    record = {"a": {"b": {"c": 1}}, "a.b": 2, "many": [{"t": 1}, {"t": 2}, 3]}
    assert found(record, "a.b") == 2  # the whole name comes first
    assert found(record, "a.b.c") is None or found(record, "a.b.c") == 1
    assert found(record, "many.t") == [1, 2]
    assert found(record, "a.x.y") is None
    assert found("text", "a") is None
