"""ROUGE-L is the one of the rouge-score library, and other scripts have words too."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenize import tokenize

from lorepack.synthesis.rouge import rouge_l, words

ORACLE = RougeScorer(["rougeL"])
ASCII = st.text(alphabet=string.printable, max_size=80)
FEW_WORDS = st.lists(st.sampled_from(["the", "Cat", "sat", "on", "a", "mat!", "x_y"]), max_size=14)


@given(ASCII)
def test_words_of_ascii_are_those_of_rouge_score(text: str) -> None:
    assert words(text) == tokenize(text, None)


@given(FEW_WORDS.map(" ".join) | ASCII, FEW_WORDS.map(" ".join) | ASCII)
def test_similarity_is_that_of_rouge_score(one: str, other: str) -> None:
    expected = ORACLE.score(one, other)["rougeL"].fmeasure
    assert rouge_l(one, other) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Où est l’Élysée?", ["où", "est", "l", "élysée"]),
        ("snake_case", ["snake", "case"]),
        ("東京はどこ？", ["東", "京", "は", "ど", "こ"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("Cafe\u0301", ["café"]),
        ("?!", []),
    ],
)
def test_words_of_other_scripts(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_nothing_is_like_nothing() -> None:
    assert rouge_l("", "") == rouge_l("a", "?") == 0.0
