"""Replies: what models make of an order for JSON is taken, and nonsense is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lorepack.synthesis.replies import (
    SHAPES,
    SHOWN,
    ExamQuestions,
    Questions,
    Statements,
    Texts,
    schema_of,
)

WHO = {"question": "Who came?", "answer": "Ida"}
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
KEYS = st.sampled_from(["items", "question", "answer", "Answer ", "level", "statement", "x"])
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@pytest.mark.parametrize(
    "reply",
    [
        {"items": [WHO]},
        [WHO],
        WHO,
        {"qa_pairs": [WHO], "note": "done"},
        {"items": [{"Question": " Who came? ", "ANSWER": "Ida\n", "why": 3}]},
        {"items": [{"question": "", "answer": "x"}, None, "?", {"question": "Who?"}, WHO]},
    ],
)
def test_the_question_is_found_in_what_models_make_of_the_order(reply):
    (item,) = Questions.model_validate(reply).items
    assert (item.question, item.answer) == ("Who came?", "Ida")


def test_numbers_and_lists_are_answers_and_truth_values_are_none():
    good = [1822, 3.5, ["red", "blue"]]
    answers = [*good, True, None, float("nan"), [], [["red"]], "...", 10**5_000]
    reply = Questions.model_validate([{"question": "Which?", "answer": a} for a in answers])
    assert [item.answer for item in reply.items] == ["1822", "3.5", "red, blue"]
    assert len(reply.dropped) == 7
    assert reply.dropped[0] == '{"question": "Which?", "answer": true}'
    assert all(len(part) <= SHOWN for part in reply.dropped)


@pytest.mark.parametrize("reply", [[], {}, {"items": []}, None, 3, "text", {"items": [{}]}])
def test_a_reply_without_anything_in_it_is_a_problem_told_in_words(reply):
    with pytest.raises(ValidationError, match=r'expected \{"items": \[\{"question": …, "answer"'):
        Questions.model_validate(reply)


def test_texts_are_taken_bare_or_under_any_key():
    reply = Texts.model_validate(
        {"items": [" One. ", {"summary": "Two."}, "", {"a": "x", "b": "y"}]}
    )
    assert reply.items == ("One.", "Two.")
    assert Texts.model_validate({"summaries": ["One."]}).items == ("One.",)


def test_a_level_that_is_none_is_left_out_and_the_question_kept():
    rows = [{**WHO, "level": level} for level in ("Recall", "inference", "hard", 2, None)]
    levels = [item.level for item in ExamQuestions.model_validate(rows).items]
    assert levels == ["recall", "inference", None, None, None]


def test_a_statement_does_without_its_triple():
    (item,) = Statements.model_validate([{"statement": "Ida came.", "object": None}]).items
    assert (item.statement, item.object) == ("Ida came.", None)


@given(JSON, st.sampled_from([shape for shape in SHAPES.values() if shape]))
def test_no_json_is_anything_but_taken_or_refused(value, shape):
    try:
        reply = shape.model_validate(value)
    except ValidationError:
        return
    assert reply.items
    assert all(text == text.strip() != "" for text in _required(reply))


def _required(reply):
    for item in reply.items:
        yield from (item,) if isinstance(item, str) else _texts(item)


def _texts(item):
    names = {"question", "answer", "statement"} & type(item).model_fields.keys()
    return [getattr(item, name) for name in names]


@pytest.mark.parametrize("shape", [shape for shape in SHAPES.values() if shape])
def test_the_schema_is_of_the_strict_kind_that_endpoints_take(shape):
    def strict(schema):
        if schema["type"] == "object":
            assert schema["additionalProperties"] is False
            assert schema["required"] == list(schema["properties"])
            assert all(strict(held) for held in schema["properties"].values())
        return schema["type"] != "array" or strict(schema["items"])

    schema = schema_of(shape)
    assert strict(schema)
    assert list(schema["properties"]) == ["items"]
