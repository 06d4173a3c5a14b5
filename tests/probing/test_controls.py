"""Control questions: the wording of a relation, and names that nothing has."""

from __future__ import annotations

import random
import re
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack import world
from lorepack.facts import Fact
from lorepack.probing import controls
from lorepack.probing.controls import NO_RELATION, derived, make
from lorepack.probing.names import Names

WORLD = world.facts()[::8]
TOWNS = ["Leipzig", "Halle", "Bad Kösen", "Weimar", "Jena", "Gera", "Naumburg", "Bad Berka"]
BOOKS = ["The Wind of Lurn", "The Sea of Marl", "The Hare of Oss", "The Fold of Ilm"]


def born(*names: str, subject: bool = True) -> list[Fact]:
    return [
        Fact(f"Where was {name} born?", "Ulm", subject=name if subject else None, relation="born")
        for name in names
    ]


def shape(name: str) -> str:
    """Capitals, small letters, digits and the rest, runs as one."""

    def kind(c: str) -> str:
        return "A" if c.isupper() else "a" if c.isalpha() else "0" if c.isdigit() else c

    return re.sub(r"(.)\1+", r"\1", "".join(map(kind, name)))


def test_every_relation_is_asked_in_its_own_words_about_nothing_real() -> None:
    made = make(WORLD, 5, 0)
    assert not made.left_out
    relations = {fact.relation for fact in WORLD}
    assert Counter(q.relation for q in made.questions) == dict.fromkeys(relations, 5)
    real = {str(fact.subject).casefold() for fact in WORLD}
    wordings = {(fact.relation, fact.question.replace(str(fact.subject), "_")) for fact in WORLD}
    for question in made.questions:
        subject = str(question.subject)
        assert subject.casefold() not in real
        assert (question.relation, question.question.replace(subject, "_")) in wordings
    assert len({q.subject for q in made.questions}) == len(made)
    assert len({q.id for q in made.questions}) == len(made)


def test_equal_arguments_make_equal_controls_whatever_the_other_relations() -> None:
    assert make(WORLD, 3, 7) == make(list(WORLD), 3, 7)
    assert make(WORLD, 3, 7) != make(WORLD, 3, 8)
    assert make(WORLD, 0, 7) == controls.Controls()


@given(st.integers(0, 10_000), st.sampled_from(TOWNS + BOOKS))
def test_an_invented_name_is_written_as_its_pattern(seed: int, pattern: str) -> None:
    names = Names(BOOKS if pattern in BOOKS else TOWNS, ["Anna Karl", "Otto Lenz"])
    made = names.invent(pattern, random.Random(seed))
    assert shape(made) == shape(pattern)
    assert made.casefold() != pattern.casefold()


def test_small_and_shared_words_stay() -> None:
    names = Names(BOOKS)
    for seed in range(20):
        made = names.invent("The Wind of Lurn", random.Random(seed)).split()
        assert (made[0], made[2]) == ("The", "of")
        assert made[1] != "Wind"
        assert made[3] != "Lurn"


@pytest.mark.parametrize(
    ("subjects", "script"),
    [
        (["马云", "刘慈欣", "王小波", "莫言", "鲁迅"], "CJK"),
        (["Лев Толстой", "Антон Чехов", "Иван Бунин", "Анна Ахматова"], "CYRILLIC"),
        (["Νίκος Καζαντζάκης", "Γιώργος Σεφέρης", "Οδυσσέας Ελύτης"], "GREEK"),
    ],
)
def test_the_script_stays(subjects: list[str], script: str) -> None:
    facts = [Fact(f"? {name} ?!", "x", subject=name, relation="r") for name in subjects]
    facts = [Fact(f"{f.question} 在哪里", "x", subject=f.subject, relation="r") for f in facts]
    made = make(facts, 6, 0)
    assert len(made) == 6
    for question in made.questions:
        assert question.subject not in subjects
        letters = [c for c in str(question.subject) if c.isalpha()]
        assert {unicodedata.name(c).split()[0] for c in letters} == {script}


def test_numbers_in_names_become_other_numbers_of_the_same_length() -> None:
    names = Names([f"NGC {n}" for n in range(1000, 1040)])
    made = {names.invent("NGC 1007", random.Random(seed)) for seed in range(50)}
    assert all(re.fullmatch(r"NGC \d{4}", name) for name in made)
    assert len(made) > 10


def test_without_a_subject_the_shared_wording_of_the_relation_is_found() -> None:
    made = make(born("Anna Vogt", "Karl May", "Otto Lenz", "Ida von Ilm", subject=False), 4, 0)
    assert [re.sub(r"was .* born", "was _ born", q.question) for q in made.questions] == [
        "Where was _ born?"
    ] * 4
    owned = [f"Who owns {name}?" for name in ("Zeiss", "Lurn Mills", "Halle & Sons")]
    assert sorted(derived(owned)) == [
        ("Who owns \0?", "Halle & Sons"), ("Who owns \0?", "Lurn Mills"), ("Who owns \0?", "Zeiss"),
    ]  # fmt: skip


def test_a_subject_that_is_not_in_its_question_is_not_used() -> None:
    odd = Fact("Where was she born?", "Ulm", subject="Ida Ilm", relation="born")
    facts = [*born("Anna Vogt", "Karl May"), odd]
    for question in make(facts, 6, 0).questions:
        assert "she" not in question.question.split()


def test_what_has_no_wording_in_common_is_named_and_left_out() -> None:
    mixed = [Fact("Who wrote Faust?", "Goethe"), Fact("How high is Mont Blanc?", "4,806 m")]
    made = make(mixed + born(*TOWNS), 2, 0)
    assert set(made.left_out) == {NO_RELATION}
    assert {q.relation for q in made.questions} == {"born"}
    alone = [Fact("Where was Anna born?", "Ulm", relation="r")]
    assert set(make(alone, 2, 0).left_out) == {"r"}
    signs = [Fact(f"What does {s} mean?", "x", subject=s, relation="r") for s in ("%%", "&&")]
    assert "names" in make(signs, 2, 0).left_out["r"]


def test_half_of_the_questions_decide_on_the_wording() -> None:
    rows = [f"Who made {n}?" for n in ("Ulk", "Orm", "Ast", "Elk")] + ["By whom is Ilm made?"]
    assert {template for template, _ in derived(rows)} == {"Who made \0?"}
    assert derived(["Who made Ulk?", "By whom is Orm made?", "Ast is made by?"]) == []
    assert derived(["Who made Ulk?"]) == []
