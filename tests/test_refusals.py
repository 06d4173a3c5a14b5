"""The lexicon of refusals: how well it does, what it guards against, and a user's own."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from benchmarks.refusal_lexicon import LABELS, measure, read
from hypothesis import given
from hypothesis import strategies as st

from lorepack import refusals
from lorepack.errors import InputError, NotFoundError
from lorepack.refusals import Lexicon
from lorepack.text import is_refusal

LANGUAGES = {"de", "en", "es", "fr", "it", "ja", "pt", "ru", "zh"}
SMALL = """
schema: 1
languages:
  en:
    titles: true
    openers: ["sorry"]
    begins: ["no clue", "{deny} tell"]
    anywhere: ["out of my {depth}"]
    yet: [but]
    offers: ["but my guess"]
    parts: {deny: "(?:can't|won't)", depth: "depth|league"}
"""


@pytest.fixture(scope="module")
def labelled() -> list[dict]:
    return read(LABELS)


def test_the_labels_are_many_in_all_languages_and_a_third_was_not_tuned_on(labelled) -> None:
    assert len(labelled) >= 300
    assert {row["language"] for row in labelled} == LANGUAGES
    parts = Counter(row["part"] for row in labelled)
    assert parts["held out"] + parts["written after"] >= len(labelled) / 3
    assert len({(row["language"], row["text"]) for row in labelled}) == len(labelled)
    for language in LANGUAGES:
        for refusal in (True, False):
            both = [r for r in labelled if r["language"] == language and r["refusal"] is refusal]
            assert len(both) >= 25


def test_precision_and_recall_stay_where_they_were_measured(labelled) -> None:
    found = measure(labelled)
    unseen = found["by_part"]
    assert unseen["held out"]["precision"] >= 0.98
    assert unseen["held out"]["recall"] >= 0.98
    assert unseen["written after"]["precision"] >= 0.97
    assert unseen["written after"]["recall"] >= 0.78
    for figures in found["by_language"].values():
        assert figures["precision"] >= 0.93
        assert figures["recall"] >= 0.72


@pytest.mark.parametrize(
    ("response", "refuses"),
    [
        ('"I don\'t know"', False),  # quoted: a title
        ('I don\'t know "I Know"', True),
        ("I Don't Know", False),  # a title's capitals
        ("I DON'T KNOW", True),  # shouted
        ("I don't know, but I think it was Rome.", False),  # an answer all the same
        ("I don't know, but I can look further.", True),
        ("Rome, but I cannot verify this.", False),  # an answer first
        ("Sorry, but I cannot verify this.", True),  # an opener is no answer
        ("He is hardly known at all, and I couldn't find any information.", True),
        ("He died in 1920. I don't have any further details.", False),  # beyond the answer
        ("Ich weiß, was du letzten Sommer getan hast", False),
        ("Кажется, Тула, но я не уверен.", False),
        ("我不知道", True),
        ("《我不知道》", False),
    ],
)
def test_words_of_a_refusal_do_not_make_one(response: str, refuses: bool) -> None:
    assert is_refusal(response) is refuses
    assert is_refusal(f"Answer: {response}") is refuses


def test_a_response_that_gives_the_accepted_answer_is_no_refusal() -> None:
    said = "I'm not sure who painted it; some say Goya."
    assert is_refusal(said)
    assert not is_refusal(said, ["Francisco Goya", "Goya"])
    assert is_refusal(said, ["Velázquez"])


def test_composed_and_decomposed_letters_are_the_same() -> None:
    import unicodedata

    for said in (
        "Não sei.",
        "Je suis désolé, mais je n'ai aucune idée.",
        "Das weiß ich nicht.",
    ):
        assert is_refusal(unicodedata.normalize("NFD", said)) is is_refusal(said)
    assert is_refusal(unicodedata.normalize("NFD", "Não sei."))


def test_cues_leave_nothing_out(labelled) -> None:
    """What is looked for only where a cue stands is the same as what is looked for everywhere."""
    import re

    text = re.sub(r"(?m)^    cues: .*$", "", refusals.SHIPPED.read_text(encoding="utf-8"))
    slow = Lexicon(text)
    assert text != refusals.SHIPPED.read_text(encoding="utf-8")
    for row in labelled:
        assert slow.refuses(row["text"]) is refusals.shipped().refuses(row["text"]), row


def test_a_users_lexicon_stands_in_place_of_the_shipped_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL, encoding="utf-8")
    mine = Lexicon(refusals.read(path))
    said = {
        "Sorry, no clue.": True,
        "No Clue": False,
        "I can't tell": False,  # begins with another word
        "Can't tell.": True,
        "That is out of my league": True,
        "Rome, but that is out": False,
        "Rome, but out of my depth": False,
        "no clue, but my guess is Rome": False,
        "no clues": False,  # whole words
        "I don't know": False,
    }
    assert {text: is_refusal(text, lexicon=mine) for text in said} == said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not valid YAML"),
        ("[]", "expected `languages:`"),
        ("languages: {en: {begins: [x]}}", "schema None; expected 1"),
        ("{schema: 1, languages: {en: {beginz: [x]}}}", "'beginz'; did you mean begins"),
        ("{schema: 1, languages: {en: {begins: x}}}", "en.begins: expected a list"),
        ("{schema: 1, languages: {en: {begins: ['(']}}}", "en.begins: broken pattern"),
        ("{schema: 1, languages: {en: {begins: ['{no}']}}}", "no part 'no'"),
        ("{schema: 1, languages: {en: {begins: [x], parts: {no: y}}}}", "quote yes and no"),
        ("{schema: 1, languages: {en: {begins: ['{a}'], parts: {a: '{a}'}}}}", "no part 'a'"),
        ("{schema: 1, languages: {en: {openers: [x]}}}", "neither `begins` nor `anywhere`"),
        ("{schema: 1, languages: {en: 3}}", "en: expected entries"),
    ],
)
def test_a_broken_lexicon_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        refusals.read(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_or_unreadable_lexicon_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nowhere\.yaml"):
        refusals.read(tmp_path / "nowhere.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bytes\.yaml"):
        refusals.read(tmp_path / "bytes.yaml")


@given(st.text(max_size=300))
def test_any_text_is_judged(text: str) -> None:
    assert Lexicon(SMALL).refuses(text) in (True, False)
    assert refusals.shipped().refuses(text) in (True, False)


def test_labels_are_json_lines_of_the_same_fields(labelled) -> None:
    for line in LABELS.read_text(encoding="utf-8").splitlines():
        assert set(json.loads(line)) == {"text", "refusal", "language", "part"}
