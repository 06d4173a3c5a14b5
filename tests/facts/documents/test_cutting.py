"""Cutting: passages of a size, at sentences, overlapping, and nothing lost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.errors import InputError
from lorepack.facts.documents import cut, sentences, words_and_signs

TEXT = "One two three. Four five six. Seven eight nine. Ten eleven twelve."  # 4 tokens each
SHAPES = st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n // 2)))
TEXTS = st.text(alphabet=st.sampled_from("abC .!?\n-é木"), max_size=300)


def told(text: str, size: int, overlap: int) -> list[str]:
    return [text[start:end] for start, end in cut(text, size, overlap)]


def characters(texts: Sequence[str]) -> list[int]:
    """A tokenizer that knows letters alone."""
    return [len(text) for text in texts]


def test_passages_hold_as_many_sentences_as_fit() -> None:
    assert told(TEXT, 11, 0) == [
        "One two three. Four five six.",
        "Seven eight nine. Ten eleven twelve.",
    ]
    assert told(TEXT, 12, 0)[0] == "One two three. Four five six. Seven eight nine."
    assert told(TEXT, 1_000, 100) == [TEXT]


def test_they_overlap_in_whole_sentences() -> None:
    assert told(TEXT, 8, 4) == [
        "One two three. Four five six.",
        "Four five six. Seven eight nine.",
        "Seven eight nine. Ten eleven twelve.",
    ]
    assert told(TEXT, 8, 3) == told(TEXT, 8, 0)


def test_a_long_sentence_is_cut_between_words_and_a_long_word_inside() -> None:
    assert told("a b c d e. F g.", 3, 0) == ["a b c", "d e.", "F g."]
    text = "ab abcdefgh. X"
    spans = cut(text, 4, 0, characters)
    assert [text[start:end] for start, end in spans] == ["ab", "ab", "cdef", "gh.", "X"]


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (-1, 0), (8, 5), (8, -1), (1, 1)])
def test_sizes_that_cannot_be(size: int, overlap: int) -> None:
    with pytest.raises(InputError, match=r"(size|overlap) -?\d+: "):
        cut(TEXT, size, overlap)


def test_no_text_has_no_passages() -> None:
    assert cut("", 8, 0) == cut(" \n", 8, 0) == []


@given(TEXTS, SHAPES, st.sampled_from([words_and_signs, characters]))
def test_promises(text: str, shape: tuple[int, int], count: object) -> None:
    size, overlap = shape
    assert callable(count)
    spans = cut(text, size, overlap, count)
    covered = {i for start, end in spans for i in range(start, end)}
    assert covered >= {i for i, char in enumerate(text) if not char.isspace()}  # nothing is lost
    for start, end in spans:
        assert text[start:end].strip() == text[start:end] != ""
        assert count([text[start:end]])[0] <= size or end - start == 1
    for one, other in pairwise(spans):
        assert one.start < other.start
        assert one.end < other.end  # each brings something new
        assert count([text[other.start : one.end]])[0] <= overlap or other.start >= one.end
    assert spans == cut(text, size, overlap, count)


@given(TEXTS, SHAPES)
def test_they_end_where_sentences_end_if_these_are_short(text: str, shape: tuple[int, int]) -> None:
    known = sentences(text)
    if max((words_and_signs([text[s:e]])[0] for s, e in known), default=0) <= shape[0]:
        spans = cut(text, *shape)
        assert {span.start for span in spans} <= {start for start, _ in known}
        assert {span.end for span in spans} <= {end for _, end in known}
