"""Stems, names and numbers, as the gates see them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.synthesis.paraphrasing import keeps_names
from lorepack.synthesis.words import same_content, same_names, stem, told


@pytest.mark.parametrize(
    "family",
    [
        ("plan", "plans", "planning", "planners"),
        ("denoise", "denoised", "denoising"),
        ("trajectory", "trajectories"),
        ("mention", "mentioned", "mentions"),
        ("conclude", "conclusion", "conclusions"),
        ("compress", "compressed", "compression"),
    ],
)
def test_inflections_have_one_stem(family: tuple[str, ...]) -> None:
    assert len({stem(word) for word in family}) == 1


@given(st.text(max_size=20))
def test_a_stem_is_its_own_stem(word: str) -> None:
    assert stem(stem(word)) == stem(word)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Who met Ada Lovelace in Paris?", {"ada", "lovelace", "paris"}),
        ("Name the capital of Peru.", {"peru"}),
        ("Berlin's mayor spoke. Then it rained.", {"berlin"}),
        ("Large models and LLMs differ from DeepSeek.", {"llms", "deepseek"}),
        ("What is ATTN_S?", {"attn", "s"}),
        ("What Is The Largest Ocean On Earth?", set()),
        ("I think a boy's toy broke.", set()),
    ],
)
def test_names_are_told_by_their_capitals(text: str, names: set[str]) -> None:
    assert told(text).names == names


def test_numbers_in_digits_in_words_and_with_units() -> None:
    assert told("In 1999, 57M of 3,500 people").numbers == {"1999", "57m", "3500"}
    assert {"57", "3"} <= told("57M in three years").all_numbers


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Is Berlin the capital?", "Is Paris the capital?", False),
        ("What happened in 2010?", "What happened in 2011?", False),
        ("What does MCTD improve?", "What does it improve?", True),
        ("What is MCTD?", "What is Monte Carlo Tree Diffusion?", True),
        ("Berlin is the capital of what?", "Paris is the capital of what?", False),
    ],
)
def test_questions_with_exchanged_names_speak_of_different_things(
    one: str, other: str, same: bool
) -> None:
    assert same_names(one, other) is same_names(other, one) is same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("How does the left pipeline end?", "How does the right pipeline end?", False),
        ("What is one-step planning?", "What is multi-step planning?", False),
        ("Explain how the pipeline ends.", "Describe how the pipeline ends.", True),
        ("How does the pipeline end?", "How does the left pipeline end?", True),
    ],
)
def test_one_exchanged_word_makes_another_question(one: str, other: str, same: bool) -> None:
    assert same_content(one, other) is same_content(other, one) is same


class TestKeepsNames:
    @pytest.mark.parametrize(
        "wording",
        [
            "In which year did Ada Lovelace visit Paris?",
            "Tell me the year of Ada Lovelace's visit to Paris.",
            "ada lovelace visited paris in which year?",
            "Recall the year in which Paris was visited by Ada Lovelace.",
        ],
    )
    def test_other_wordings_that_keep_them(self, wording: str) -> None:
        assert keeps_names("When did Ada Lovelace visit Paris?", wording) is None

    @pytest.mark.parametrize(
        ("question", "wording", "problem"),
        [
            ("When did Ada Lovelace visit Paris?", "When did Ada visit Paris?", "lost: lovelace"),
            ("When did Ada visit Paris?", "When did Ada visit Paris and Rome?", "new: rome"),
            ("Who won in 1998?", "Who won in 1999?", "lost: 1998"),
            ("Who won?", "Who won in 1999?", "new: 1999"),
        ],
    )
    def test_what_was_lost_or_brought_in(self, question: str, wording: str, problem: str) -> None:
        assert keeps_names(question, wording) == problem

    def test_a_number_may_be_written_in_digits(self) -> None:
        assert keeps_names("Name the 3 winners.", "Who were the three winners?") is None
        assert keeps_names("Name the three winners.", "Who were the 3 winners?") is None
