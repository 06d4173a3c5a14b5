"""A real small model asked real third-party facts."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from lorepack.facts import Fact
from lorepack.llm import generate, load
from lorepack.probing import ProbeSettings, ask, probe
from probing.scripted import files_of

DATA = Path(__file__).parents[3] / "shared/data"
BOOK = DATA / "lora-as-knowledge-memory/phonebook_qa_1K.csv"
STORIES = DATA / "models/stories260K"
pytestmark = pytest.mark.skipif(
    not (BOOK.is_file() and STORIES.is_dir()),
    reason="needs shared/data beside the checkout: the phone book and stories260K",
)


def phone_numbers() -> list[Fact]:
    with open(BOOK, newline="", encoding="utf-8") as handle:
        rows = [
            row["text"].removeprefix("Question:").split("Answer:") for row in csv.DictReader(handle)
        ]
    return [Fact(question.strip(), answer.strip(), relation="phone") for question, answer in rows]


def test_a_story_teller_knows_no_phone_numbers_and_says_the_same_in_any_chunks(
    tmp_path: Path,
) -> None:
    lm, facts = load(STORIES, device="cpu"), phone_numbers()
    assert len(facts) == 48
    how = ProbeSettings(prompts=2, shots=2, samples=1, max_new_tokens=6)
    result = probe(lm, facts, tmp_path / "whole", how)
    assert result.counts == {"HighlyKnown": 0, "MaybeKnown": 0, "WeaklyKnown": 0, "Unknown": 48}
    probe(lm, facts, tmp_path / "cut", how.override({"chunk": 20}))
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")
    assert not ask(lm, facts[:4], how, prompts=result.prompts).any()
    first = next(result.answers())
    shots = result.prompts.shots(facts[5], 1)
    turns = [f"Question: {e.question}\nAnswer: {e.answer}" for e in shots]
    text = "\n\n".join([how.system, *turns, f"Question: {facts[5].question}\nAnswer:"])
    [[alone]] = generate(lm, [lm.chat.text_ids(text)], max_new_tokens=6)
    assert first.greedy[5][1] == alone, "the stored answer is the model's own to that prompt"
