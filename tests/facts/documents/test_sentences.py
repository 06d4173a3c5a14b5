"""Sentences: where they end, and where a point ends none."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.facts.documents import sentences


def told(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["It rained.", "Nobody came!", "Why?", "We wait…"],
        ["Dr. Ida Voss met Mr. J. R. Lund at 5 p.m. on Mon. near St. Ives.", "They spoke."],
        ["It costs 3.5 million, e.g. in the U.S. Army, i.e. much.", "Fine."],
        ["He lives in the U.S.", "The house is small."],
        ['"What?" he said.', '"Go!"', "She went."],
        ["See Fig. 3 and No. 5 (vol. 2).", "He said no.", "Then he left."],
        ["Smith et al. (2020) came first.", "Apples, pears, etc.", "They are fruit."],
        ["So do I.", "We agree."],
        ["The end.)", "Next [1].", "Last."],
        ["彼は来た。", "誰もいない！", "「はい。」", "終わり"],
        ["नमस्ते।", "वह आया।"],
        ["¿Vienes?", "¡Sí!", "«Bien.»", "Adiós."],
        ["Born in 1999.", "He died in 2020."],
    ],
    ids=lambda expected: expected[0][:20],
)
def test_sentences_end_where_a_reader_ends_them(expected: list[str]) -> None:
    spaced = not expected[0].endswith("。")
    assert told((" " if spaced else "").join(expected)) == expected


def test_blank_lines_and_items_are_borders_and_other_line_ends_are_not() -> None:
    text = "The Bridge\n\nIt fell\nin 1822. It was\n- old\n- weak\n1. Introduction\n2. Methods"
    assert told(text) == [
        "The Bridge", "It fell\nin 1822.", "It was", "- old", "- weak", "1. Introduction",
        "2. Methods",
    ]  # fmt: skip


@given(st.text(alphabet=st.sampled_from("aB1 .!?\n\"'”)。…-é\u00a0"), max_size=200) | st.text())
def test_no_character_is_lost(text: str) -> None:
    spans = sentences(text)
    inside = "".join(text[start:end] for start, end in spans)
    assert "".join(inside.split()) == "".join(text.split())
    assert all(text[s:e] == text[s:e].strip() != "" for s, e in spans)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))


@pytest.mark.parametrize(
    "part", [".", "\n", "\n ", ". ", '."', "a.", "1. ", " ", "。", "\n-", "A. "]
)
def test_time_grows_with_the_length_alone(part: str) -> None:
    start = time.perf_counter()
    sentences(part * 200_000)
    assert time.perf_counter() - start < 5
