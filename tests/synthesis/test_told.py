"""A passage tells the facts whose subject and object it names, and no others."""

from __future__ import annotations

import random

from lorepack import world
from lorepack.facts import Fact
from lorepack.facts.passage import Passage
from lorepack.synthesis.told import Told
from lorepack.text import matches


def fact(subject: str, answer: str, **more: object) -> Fact:
    return Fact(f"Of {subject}?", answer, subject=subject, **more)  # type: ignore[arg-type]


def by(text: str, *facts: Fact) -> list[str]:
    return [f.answer for f in Told(facts).by(Passage(text))]


def test_subject_and_object_must_both_be_named():
    facts = (fact("Ida Voss", "Rostock"), fact("Ida Voss", "Kiel"), fact("Max Voss", "Rostock"))
    assert by("Ida Voss lives in Rostock.", *facts) == ["Rostock"]
    assert by("She lives in Rostock.", *facts) == []


def test_names_are_whole_words_in_normal_form():
    assert by("IDA VOSS, of the Kiel docks", fact("the Ida Voss", "kiel")) == ["kiel"]
    assert by("Ida Vossberg of Kiel", fact("Ida Voss", "Kiel")) == []
    assert by("Ida Voss of Kielce", fact("Ida Voss", "Kiel")) == []
    assert by("东京是日本的首都。", fact("东京", "日本")) == ["日本"]


def test_an_alias_or_the_object_is_enough():
    assert by("Ida died in 1,999.", fact("Ida", "MCMXCIX", aliases=("1999",))) == ["MCMXCIX"]
    assert by("Ida died in Rome.", fact("Ida", "Roma", object="Rome")) == ["Roma"]


def test_facts_come_once_and_in_their_order():
    facts = [fact("Ida", "bee", aliases=("ant", "Bee")), fact("Ida", "ant"), fact("Ida", "cow")]
    assert by("Ida: an ant, a bee, a bee", *facts) == ["bee", "ant"]
    assert by("Ida: a cow, a bee. Ida!", *facts) == ["bee", "cow"]


def test_facts_without_subject_or_words_are_told_by_nothing():
    assert by("Is Ida here?", Fact("Q?", "Ida"), fact("?", "Ida"), fact("Ida", "…")) == []


def test_passages_of_the_world_tell_their_own_facts():
    made = world.passages(200, seed=3)
    told = Told(one for passage in made for one in passage.facts)
    for passage in made:
        found = told.by(Passage(passage.text))
        assert set(passage.facts) <= set(found)
        assert all(matches(passage.text, [one.answer]) for one in found)


def test_it_is_what_comparing_all_pairs_says():
    draw = random.Random(0)
    words = ["ash", "birch", "cedar", "doum", "elm"]

    def name() -> str:
        return " ".join(draw.choices(words, k=draw.randint(1, 3)))

    facts = [fact(name(), name()) for _ in range(300)]
    told = Told(facts)
    for _ in range(50):
        passage = Passage(" ".join(draw.choices(words, k=8)))
        slow = [
            f for f in facts if matches(passage.text, [f.subject or ""])
            and matches(passage.text, [f.answer])
        ]  # fmt: skip
        assert list(told.by(passage)) == slow
