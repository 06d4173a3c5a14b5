"""Exemplars: the published rows, or drawn ones that never give an answer away."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.probing import ProbeSettings, Prompts, choose
from probing.scripted import some_facts

PAPER = ProbeSettings.named("paper")
RANDOM = ProbeSettings()


def shown(prompts: Prompts, fact: Fact, index: int) -> list[str]:
    return [exemplar.id for exemplar in prompts.shots(fact, index)]


def test_paper_shows_rows_4i_to_4i_plus_3_to_every_question() -> None:
    facts = some_facts(60)
    prompts = choose(facts, PAPER)
    for fact in (facts[0], facts[59]):  # the first is its own exemplar, as published
        for i in range(10):
            assert shown(prompts, fact, i) == [f.id for f in facts[4 * i : 4 * i + 4]]
    assert prompts.notes == ()


def test_paper_begins_again_when_rows_end() -> None:
    facts = some_facts(10)
    prompts = choose(facts, PAPER)
    assert shown(prompts, facts[0], 2) == [facts[i].id for i in (8, 9, 0, 1)]
    assert "from the front again" in prompts.notes[0]


def test_forty_different_exemplars_and_no_fact_before_itself() -> None:
    facts = some_facts(200)
    prompts = choose(facts, RANDOM)
    outsider = Fact("Unrelated?", "yes")
    used = [e for i in range(10) for e in shown(prompts, outsider, i)]
    assert len(set(used)) == 40
    for fact in facts:
        for i in range(10):
            assert fact.id not in shown(prompts, fact, i)
            assert len(shown(prompts, fact, i)) == 4


def test_only_the_exemplars_themselves_see_another_prefix() -> None:
    facts = some_facts(200)
    prompts = choose(facts, RANDOM)
    outsider = Fact("Unrelated?", "yes")
    for i in range(10):
        common = shown(prompts, outsider, i)
        differing = [f.id for f in facts if shown(prompts, f, i) != common]
        assert sorted(differing) == sorted(common)
        for fact in facts:
            changed = [a != b for a, b in zip(shown(prompts, fact, i), common, strict=True)]
            assert sum(changed) <= 1  # a spare, in the same place


def test_the_seed_and_not_the_order_decides() -> None:
    facts = some_facts(200)
    mixed = random.Random(1).sample(facts, len(facts))
    assert choose(mixed, RANDOM) == choose(facts, RANDOM)
    assert choose(facts, RANDOM.override({"seed": 1})).default != choose(facts, RANDOM).default


@given(st.integers(2, 60), st.integers(0, 6), st.integers(1, 12), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_small_lists_never_show_a_fact_before_itself(
    count: int, shots: int, prompts: int, seed: int
) -> None:
    facts = some_facts(count)
    chosen = choose(facts, ProbeSettings(shots=shots, prompts=prompts, seed=seed))
    assert len(chosen) == prompts
    for fact in facts:
        for i in range(prompts):
            ids = shown(chosen, fact, i)
            assert fact.id not in ids
            assert len(set(ids)) == len(ids) == min(shots, count - 1)


@pytest.mark.parametrize(
    ("count", "shots", "notes"),
    [
        (48, 4, []),
        (41, 4, ["prompts share exemplars"]),
        (5, 4, ["prompts share exemplars"]),
        (3, 2, ["prompts share", "2 shots a prompt, not 4", "only 6 of 10"]),
        (1, 0, ["prompts share", "0 shots a prompt, not 4", "only 1 of 10"]),
    ],
)
def test_small_lists_say_what_they_cannot_give(count: int, shots: int, notes: list[str]) -> None:
    facts = some_facts(count)
    chosen = choose(facts, RANDOM)
    assert len(chosen.default[0].shots) == shots
    assert len(chosen.notes) == len(notes)
    for note, expected in zip(chosen.notes, notes, strict=True):
        assert expected in note


@pytest.mark.parametrize("settings", [RANDOM, RANDOM.override({"exemplars": "same-relation"})])
def test_a_fact_far_longer_than_the_others_is_no_exemplar(settings: ProbeSettings) -> None:
    facts = [*some_facts(30), Fact("Who?", "word " * 400, relation="r", id="long")]
    prompts = choose(facts, settings)
    assert "long" not in {e for fact in facts for i in range(10) for e in shown(prompts, fact, i)}
    assert prompts.notes[0] == "1 facts of more than 1,000 characters: no exemplars"


def test_where_most_facts_are_long_they_are_exemplars() -> None:
    facts = [Fact(f"Who is {i}?", "word " * 400, id=f"f{i}") for i in range(60)]
    assert choose(facts, RANDOM).notes == ()


def test_sets_of_a_small_list_differ() -> None:
    sets = choose(some_facts(8), RANDOM).default
    assert len({few.shots for few in sets}) == 10


def test_the_same_question_under_another_id_is_the_same_question() -> None:
    facts = some_facts(60)
    prompts = choose(facts, RANDOM)
    for few in prompts.default:
        asked = few.shots[0]
        twin = Fact("x?", "y", id="twin", paraphrases=(asked.question.upper() + " ",))
        assert all(asked.id not in shown(prompts, twin, i) for i in range(10)), (
            "a fact shown before another wording of itself"
        )


def test_a_pool_apart_gives_all_its_exemplars() -> None:
    pool = some_facts(4)
    assert len(choose(pool, RANDOM, apart=True).default[0].shots) == 4
    assert len(choose(pool, RANDOM).default[0].shots) == 3


def test_same_relation_shows_the_relation_of_the_question() -> None:
    facts = some_facts(200, relations=2)
    chosen = choose(facts, RANDOM.override({"exemplars": "same-relation"}))
    relation = {fact.id: fact.relation for fact in facts}
    for fact in facts[:20]:
        for i in range(10):
            ids = shown(chosen, fact, i)
            assert {relation[name] for name in ids} == {fact.relation}
            assert fact.id not in ids
    assert len(shown(chosen, Fact("no relation?", "x"), 0)) == 4


def test_a_rare_relation_is_filled_up() -> None:
    facts = [*some_facts(100, relations=1), Fact("Rare?", "a", relation="rare", id="rare1"),
             Fact("Rarer?", "b", relation="rare", id="rare2")]  # fmt: skip
    chosen = choose(facts, RANDOM.override({"exemplars": "same-relation"}))
    for i in range(10):
        ids = shown(chosen, facts[-1], i)
        assert len(ids) == 4
        assert "rare2" not in ids
    assert "1 relations have too few facts" in chosen.notes[0]


@pytest.mark.parametrize("how", ["random", "positional", "same-relation"])
def test_prompts_come_back_from_json(how: str) -> None:
    facts = some_facts(80)
    prompts = choose(facts, RANDOM.override({"exemplars": how}))
    again = Prompts.from_json(prompts.to_json())
    for fact in facts:
        assert all(again.shots(fact, i) == prompts.shots(fact, i) for i in range(10))


def test_one_exemplar_a_question() -> None:
    doubled = [Fact("Same?", f"a{i}", id=f"x{i}") for i in range(60)]
    prompts = choose([*doubled, *some_facts(60)], RANDOM)
    questions = Counter(e.question for few in prompts.default for e in few.shots)
    assert max(questions.values()) == 1


def test_no_pool_is_an_error_unless_no_shots() -> None:
    with pytest.raises(InputError, match="shots=0"):
        choose([], RANDOM)
    assert shown(choose([], RANDOM.override({"shots": 0})), Fact("q", "a"), 9) == []
