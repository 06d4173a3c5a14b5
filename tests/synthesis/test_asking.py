"""What counts as a question, as pointing at its source, and as giving itself away."""

from __future__ import annotations

import pytest

from lorepack.synthesis.asking import asks, gives_away, points_at_source


@pytest.mark.parametrize(
    "question",
    [
        "Who wrote it?",
        "Name the capital of Peru.",
        "[doc 3] What is tested",
        "In the Paper ID 3, explain the method.",
        "The capital of Peru is ____.",
        "東京はどこですか",
        "Wer schrieb Faust",
    ],
)
def test_what_asks_or_demands(question: str) -> None:
    assert asks(question)


@pytest.mark.parametrize("statement", ["The capital of Peru is Lima.", "A note on the method"])
def test_a_statement_asks_nothing(statement: str) -> None:
    assert not asks(statement)


@pytest.mark.parametrize(
    "question",
    [
        "What does the passage say about whales?",
        "According to the text, who won?",
        "What is proposed in this paper?",
        "How does the paper update the neurons?",
        "Why did the authors choose linear attention?",
        "To which data have the authors applied it?",
        "What is shown in Figure 2?",
        "What does Section 3.1 cover?",
        "What is the authors' claim?",
        "What problem does this study solve?",
        "Which term is used in the given excerpt?",
    ],
)
def test_pointing_at_the_source_without_naming_it(question: str) -> None:
    assert points_at_source(question)


@pytest.mark.parametrize(
    "question",
    [
        "Who is the author of Hamlet?",
        "What is the text encoder of CLIP?",
        "What does the paper “Attention Is All You Need” propose?",
        "In the Paper ID 3, what is proposed?",
        "How can the study of whales help?",
        "What is inference in the context of planning?",
        "Which findings led researchers to it, and is it true that researchers agree?",
        "What does Section 230 of the Communications Decency Act say?",
        "What is the paper size in Europe?",
    ],
)
def test_what_is_named_or_is_something_else(question: str) -> None:
    assert points_at_source(question) is None


def test_a_question_that_holds_the_title_names_its_source() -> None:
    question = "What does the paper on tree diffusion for planning propose?"
    assert points_at_source("What does the paper propose for trees?", "Tree Diffusion for Planning")
    assert points_at_source(question, "Tree Diffusion for Planning") is None


@pytest.mark.parametrize(
    ("question", "answer", "given"),
    [
        ("What is the framework called MCTD named?", "MCTD", True),
        ("In which year, 1999, did it end?", "1999.", True),
        ("Who wrote Hamlet?", "Shakespeare", False),
        ("Is there no difference?", "No", False),
        ("Was it red or blue?", "blue", False),
        ("What is in Roman roads?", "Rome", False),
    ],
)
def test_a_question_that_gives_its_answer_away(question: str, answer: str, given: bool) -> None:
    assert gives_away(question, answer) is given
