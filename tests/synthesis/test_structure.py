"""The JSON in a reply is found where it stands, and what is wrong with it is said."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from lorepack.synthesis.replies import Questions, Texts
from lorepack.synthesis.structure import ReplyError, checked, tidy
from lorepack.synthesis.writers.writer import Reply


class Shape(BaseModel):
    """What the tests ask for."""

    items: list[str]


GOOD = json.dumps({"items": ["one", "two"]})
PAIRS = (
    '{"items": [{"question": "Who?", "answer": "Ada"}, {"question": "When?", "answer": "1815"}]}'
)


def problem(text: str, shape: type[BaseModel] | None = Shape, finished: bool = True) -> str:
    with pytest.raises(ReplyError) as error:
        checked(Reply(text, finished=finished), shape)
    return str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"  {GOOD}\n",
        f"```json\n{GOOD}\n```",
        f"Sure! Here it is:\n\n```\n{GOOD}\n```\nAnything else?",
        f"```json\n{GOOD}",
        f"Here are 2 [see {{below}}] items: {GOOD} I hope [1] that helps.",
        f"As asked in [3]: {GOOD}",
        f'<think>\nMaybe {{"items": ["no"]}}?\n</think>\n{GOOD}',
        f"<think>\n\n</think>\n\n<think>Again.</think>\n{GOOD}",
        f'So, {{"items": ["no"]}}? No.\n</think>\n\n{GOOD}',
        f"<THINK>so</think>```json\n{GOOD}\n```",
        json.dumps({"items": ["one", "two"]}, indent=2),
        f"[1] {GOOD} [2]",
        f"{{items}} are: {GOOD}",
    ],
)
def test_the_json_is_found_among_whatever_else_is_said(text):
    assert checked(Reply(text), Shape).items == ["one", "two"]


def test_line_breaks_within_strings_are_taken():
    assert checked(Reply('{"items": ["one\ntwo"]}'), Shape).items == ["one\ntwo"]


@pytest.mark.parametrize("end", range(1, len(PAIRS)))
def test_half_a_json_is_never_taken_for_a_whole_one(end):
    assert problem(PAIRS[:end], Questions)


@pytest.mark.parametrize("start", ["", "```json\n", "Here it is: ", "As in [1]: "])
def test_json_that_breaks_off_is_told_so(start):
    assert problem(start + PAIRS[:-20], Questions) == "its JSON breaks off before the end"


def test_broken_json_is_told_with_its_place_and_no_part_of_it_is_taken():
    broken = PAIRS.replace('"answer": "Ada"', '"answer": "Ada",')
    assert re.match(r"its JSON is not valid \(.+ at character \d+\)$", problem(broken, Questions))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the reply is empty"),
        ("<think>so</think>", "the reply is empty"),
        (f"<think>Perhaps {GOOD}", "its thoughts come to no end"),
        ("I cannot do that.", "there is no JSON in it"),
        ('{"things": 1}', "the JSON does not fit: items: Field required"),
        ('{"items": [1, 2, 3, 4, 5]}', "items.0: .*; items.1: .*; items.2: .*; and 2 more"),
        ('{"items": ' + "[" * 5_000, "breaks off|cannot be read"),
        ("9" * 5_000, "there is no JSON in it"),
        ('{"items": [' + "9" * 5_000 + "]}", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(text, why):
    assert re.search(why, problem(text))


def test_nothing_is_told_from_broken():
    for text in ("[]", '{"items": []}', "{}"):
        with pytest.raises(ReplyError) as error:
            checked(Reply(text), Texts)
        assert error.value.nothing
    with pytest.raises(ReplyError) as error:
        checked(Reply('{"items": [""]}'), Texts)
    assert not error.value.nothing


def test_running_text_is_taken_whole_and_not_when_it_was_cut_off():
    assert checked(Reply("<think>hm</think>\n Ada was born. \n"), None) == "Ada was born."
    assert checked(Reply("hm, so\n</think>\nAda was born."), None) == "Ada was born."
    assert "cut off" in problem("Ada was", None, finished=False)
    assert "cut off while it thinks" in problem("<think>Ada was", None, finished=False)
    assert "come to no end" in problem("<think>Ada was born.", None)


def test_a_tag_that_an_item_speaks_of_is_no_thought():
    said = {"items": ["Models write <think> first.", "It ends with </think>."]}
    assert checked(Reply(json.dumps(said)), Shape).items == said["items"]


def test_a_whole_json_counts_even_when_the_writer_went_on_without_an_end():
    assert checked(Reply(GOOD + " and so on", finished=False), Shape).items == ["one", "two"]
    assert "cut off" in problem(GOOD[:-4], finished=False)


@given(st.text())
def test_any_text_is_either_taken_or_a_problem(text):
    for shape in (Shape, None):
        with contextlib.suppress(ReplyError):
            checked(Reply(text), shape)


@given(st.text(st.characters(categories=("Cs", "Ll", "Cc"))))
def test_tidy_text_can_be_written_anywhere(text):
    assert "\0" not in tidy(text)
    tidy(text).encode()


def test_nonsense_of_brackets_costs_no_time():
    assert problem("{" * 200_000)
    assert problem("[x" * 200_000)
