"""Which sentences are covered, and by how much of the passage."""

from __future__ import annotations

import pytest

from lorepack.synthesis.coverage import Coverage
from lorepack.synthesis.item import Item

TEXT = (
    "Mount Tarn rises 3,200 metres above the valley of Oll. "
    "Shepherds built a stone chapel there in 1712. "
    "Wolves were last seen near the northern glacier."
)
FIRST, SECOND, THIRD = (f"{part.rstrip('.')}." for part in TEXT.split(". "))


def asked(question: str, answer: str) -> Item:
    return Item("qa", "p", question=question, answer=answer)


def test_nothing_is_covered_before_items_come() -> None:
    coverage = Coverage(TEXT)
    assert coverage.share == 0.0
    assert coverage.uncovered() == [FIRST, SECOND, THIRD]


def test_a_question_covers_the_sentence_that_it_asks_about() -> None:
    coverage = Coverage(TEXT)
    coverage.add(asked("When did shepherds build the chapel?", "In 1712"))
    assert coverage.uncovered() == [FIRST, THIRD]
    assert coverage.share == pytest.approx(7 / 23)  # words without articles


def test_touching_a_sentence_is_not_covering_it() -> None:
    coverage = Coverage(TEXT)
    coverage.add(asked("What is a chapel?", "A building."))
    assert coverage.share == 0.0


def test_the_text_itself_covers_everything() -> None:
    coverage = Coverage(TEXT)
    coverage.add(Item("original", "p", text=TEXT))
    assert (coverage.share, coverage.uncovered()) == (1.0, [])


def test_words_scattered_over_a_long_text_cover_no_sentence() -> None:
    filler = " ".join(f"Grey birds number{n} slept quietly in many old trees." for n in range(9))
    scattered = f"Wolves slept. {filler} They were seen. {filler} A northern wind came. {filler}"
    together = f"{filler} Wolves were seen near a northern glacier. {filler}"
    coverage = Coverage(TEXT)
    coverage.add(Item("summary", "p", text=scattered))
    assert coverage.share == 0.0
    coverage.add(Item("summary", "p", text=together))
    assert coverage.uncovered() == [FIRST, SECOND]


def test_settings_say_how_much_of_a_sentence_is_enough() -> None:
    item = asked("What is there near the glacier?", "Wolves")
    strict, lenient = Coverage(TEXT, least=0.9), Coverage(TEXT, least=0.3)
    strict.add(item)
    lenient.add(item)
    assert (strict.share, lenient.uncovered()) == (0.0, [FIRST, SECOND])


def test_works_that_are_cited_need_no_question() -> None:
    coverage = Coverage(
        "Deep models plan well (Ho et al., 2020; Janner & Levine, 2022; Ajay, 2023)."
    )
    coverage.add(asked("How do deep models plan?", "Well"))
    assert coverage.share == 1.0


@pytest.mark.parametrize("text", ["", "…", "It is so."])
def test_a_passage_without_content_is_covered(text: str) -> None:
    assert (Coverage(text).share, Coverage(text).uncovered()) == (1.0, [])


def test_scripts_without_spaces() -> None:
    coverage = Coverage("東京は日本の首都です。富士山は高い山です。")
    coverage.add(asked("日本の首都はどこですか？", "東京は日本の首都です"))
    assert coverage.uncovered() == ["富士山は高い山です。"]
