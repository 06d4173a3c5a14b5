"""Every gate turns away what it is for, with its reason, and lets the rest through."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lorepack.facts.passage import Passage
from lorepack.synthesis.coverage import Coverage
from lorepack.synthesis.gates import REASONS, Earlier, Gates, GateSettings
from lorepack.synthesis.item import Item
from lorepack.synthesis.leaks import Leaks

PASSAGE = Passage(
    "Mount Tarn rises 3,200 metres above the valley of Oll. Shepherds built a stone chapel there"
    " in 1712. The Tarn Rescue Agency (TRA) was founded by Ada Brand two years later. It trains"
    " dogs to find hikers who are buried by avalanches, because dogs smell what people cannot see.",
    title="The Mountains of Oll",
)


def qa(question: str, answer: str, **more: Any) -> Item:
    return Item("qa", PASSAGE.id, question=question, answer=answer, **more)


def summary(text: str) -> Item:
    return Item("summary", PASSAGE.id, text=text)


def reason(item: Item, *earlier: Item, leaks: Leaks | None = None, **settings: Any) -> str | None:
    before = Earlier()
    for one in earlier:
        before.add(one)
    return Gates(GateSettings(**settings), leaks).judge(item, PASSAGE, before)


@pytest.mark.parametrize(
    "item",
    [
        qa("When was the chapel built?", "1712"),
        qa("Who founded the TRA?", "Ada Brand founded the Tarn Rescue Agency."),
        qa("How high is Mount Tarn?", "It is 3200 metres high."),
        qa("Is Mount Tarn above Oll?", "Yes"),
        qa("How are buried hikers found?", "Trained dogs smell them."),
        qa("How many years after 1712 was the TRA founded?", "2"),
        summary("In 1712 shepherds built a chapel on Mount Tarn; Ada Brand's agency trains dogs."),
        Item("deep-context", PASSAGE.id, task="Tell of Tarn.", text="Mount Tarn is in Oll."),
        Item("original", PASSAGE.id, text="Whatever it is, as long as there are words."),
    ],
)
def test_good_items_pass(item: Item) -> None:
    assert reason(item, leaks=Leaks(["Who was Napoleon?"])) is None


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (qa("Who?", "  …  "), "empty"),
        (qa("", "Ada Brand"), "empty"),
        (Item("summary", "p"), "empty"),
        (Item("original", "p", text=" . "), "empty"),
        (qa("Who is it? " * 60, "Ada"), "too_long"),
        (qa("Shepherds built the chapel.", "1712"), "not_a_question"),
        (qa("What was built, by the passage?", "A chapel"), "not_self_contained"),
        (qa("Who built the chapel?", "I'm sorry, I don't know."), "refusal"),
        (summary("There is not enough information to answer."), "refusal"),
        (qa("In which year, 1712, was it built?", "1712"), "answer_in_question"),
        (qa("Who founded the agency?", "Ada Smith"), "ungrounded"),
        (qa("When was the chapel built?", "Shepherds built it in 1713."), "ungrounded"),
        (qa("Why do dogs help?", "Their courage inspires weary volunteers."), "ungrounded"),
        (summary("Napoleon and Wellington met at Waterloo in 1815."), "ungrounded"),
        (summary("Regular exercise keeps everybody's heart healthy."), "ungrounded"),
    ],
)
def test_each_gate_turns_away_what_it_is_for(item: Item, expected: str) -> None:
    assert reason(item) == expected
    assert expected in REASONS


def test_the_first_gate_gives_the_reason() -> None:
    leaked = qa("What does the passage say of Ada Smith?", "Ada Smith")
    assert reason(leaked, leaked, leaks=Leaks([leaked.question or ""])) == "not_self_contained"


class TestSelfContained:
    def test_it_can_be_switched_off_for_tagged_questions(self) -> None:
        item = qa("What does the author say that shepherds built?", "a stone chapel")
        assert reason(item) == "not_self_contained"
        assert reason(item, self_contained=False) is None

    def test_the_title_in_the_question_names_the_source(self) -> None:
        item = qa("By this text, what was built in the mountains of Oll?", "a stone chapel")
        assert reason(item) is None


class TestGrounded:
    def test_evidence_from_the_passage_vouches_for_other_words(self) -> None:
        words = ("Why do dogs help?", "Their noses notice buried victims.")
        assert reason(qa(*words)) == "ungrounded"
        assert reason(qa(*words, evidence="dogs smell what people cannot see")) is None
        assert reason(qa(*words, evidence="noses notice much more")) == "ungrounded"
        assert reason(qa(*words, evidence="dogs")) == "ungrounded"

    def test_evidence_does_not_vouch_for_names_and_numbers(self) -> None:
        item = qa("Who helps?", "Rex and 40 dogs.", evidence="dogs smell what people cannot see")
        assert reason(item) == "ungrounded"

    def test_inference_may_use_more_words_of_its_own(self) -> None:
        words = ("Why are dogs trained?", "Dogs smell avalanche victims invisible to volunteers.")
        assert reason(qa(*words), grounded=0.7) == "ungrounded"
        inferred = qa(*words, level="inference")
        assert reason(inferred, grounded=0.7) is None
        assert reason(qa(*words, level="recall"), grounded=0.7) == "ungrounded"

    def test_an_acronym_stands_for_its_words_and_they_for_it(self) -> None:
        assert reason(qa("Who trains dogs?", "The Tarn Rescue Agency trains dogs")) is None
        text = Passage("The tarn rescue agency trains dogs.")
        item = qa("Who trains dogs?", "TRA trains dogs")
        assert Gates().judge(item, text, Earlier()) is None

    def test_without_a_passage_nothing_is_asked_to_be_grounded(self) -> None:
        assert Gates().judge(qa("Who came?", "Napoleon"), None, Earlier()) is None


class TestDuplicates:
    BASE = qa("When did the shepherds of the valley build the stone chapel?", "1712")

    @pytest.mark.parametrize(
        "question",
        [
            "when did shepherds of the valley build the stone chapel",
            "When did the shepherds of the valley build their stone chapel?",
        ],
    )
    def test_the_same_in_nearly_the_same_words(self, question: str) -> None:
        assert reason(qa(question, "In 1712"), self.BASE) == "duplicate"

    @pytest.mark.parametrize(
        ("question", "answer"),
        [
            ("When did the hikers of the valley build the stone chapel?", "1712"),
            ("When did the shepherds of the valley build the stone chapel in Oll?", "3,200"),
            ("Where did they build?", "there"),
        ],
    )
    def test_one_exchanged_word_or_another_answer_is_another_question(
        self, question: str, answer: str
    ) -> None:
        assert reason(qa(question, answer), self.BASE) is None

    def test_templates_about_different_names_are_no_duplicates(self) -> None:
        item = "Who founded the big rescue agency in the mountains of {}?"
        one, two = (qa(item.format(name), "Ada Brand") for name in ("Oll", "Tarn"))
        assert reason(two, one) is None

    def test_texts(self) -> None:
        text = "Shepherds built a stone chapel on Mount Tarn in 1712, and dogs find hikers."
        assert reason(summary(text.upper()), summary(text)) == "duplicate"
        other = text.replace("dogs find hikers", "dogs find people")
        assert reason(summary(other), summary(text)) is None


class TestLeaks:
    ASKED = Leaks(["In which year was the chapel of Mount Tarn built?"])
    ITEM = qa("In which year was the chapel of Tarn built?", "1712")

    def test_a_question_of_the_evaluation(self) -> None:
        assert reason(self.ITEM, leaks=self.ASKED) == "leak"
        assert reason(self.ITEM, leaks=self.ASKED, leak=0.98) is None

    def test_questions_of_the_evaluation_itself_are_exempt(self) -> None:
        for form, level in (("exam", None), ("given", "recall")):
            asked = Item(form, "p", question=self.ITEM.question, answer="1712", level=level)
            assert reason(asked, leaks=self.ASKED) is None

    def test_other_names_make_another_question_unless_told_otherwise(self) -> None:
        asked = Leaks(["In which year was the chapel of Mount Hollow built?"])
        assert reason(self.ITEM, leaks=asked) is None
        assert reason(self.ITEM, leaks=asked, leak_names=False) == "leak"

    def test_a_farther_question_with_the_same_names_leaks_too(self) -> None:
        near, far = (
            "In which year was the chapel of Hollow built?",
            "What year was the chapel built",
        )
        assert reason(self.ITEM, leaks=Leaks([near, far]), leak=0.5) == "leak"


def test_a_rejection_says_what_was_found() -> None:
    found = Gates().rejection(qa("Who founded it?", "Eve Smith"), PASSAGE, Earlier())
    assert found is not None
    assert found.detail == "not in the passage: eve, smith"


def test_judging_changes_nothing() -> None:
    earlier, gates = Earlier(), Gates()
    item = qa("When was the chapel built?", "1712")
    assert [gates.judge(item, PASSAGE, earlier) for _ in range(2)] == [None, None]
    assert len(earlier) == 0


@pytest.mark.parametrize("wrong", [{"leak": 1.5}, {"grounded": -0.1}, {"leaks": 0.7}])
def test_settings_out_of_range_or_unknown_are_errors(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        GateSettings(**wrong)


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=200))
def test_any_text_is_judged(question: str, answer: str, text: str) -> None:
    gates, earlier = Gates(leaks=Leaks([text])), Earlier()
    passage = Passage(text, title=answer)
    for item in (qa(question, answer), summary(text), Item("given", "p", task=answer, text=text)):
        assert gates.judge(item, passage, earlier) in (None, *REASONS)
        earlier.add(item)
        assert 0 <= covered(text, item) <= 1


def covered(text: str, item: Item) -> float:
    coverage = Coverage(text)
    coverage.add(item)
    return coverage.share
