"""The made world is one world: seeded, consistent, unique, with graded frequencies."""

import json
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack import world
from lorepack.errors import InputError
from lorepack.world import entities, exposure, harm, names, prose
from lorepack.world.relations import relations


def run(code: str, hash_seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_another_process_makes_the_same_world():
    code = (
        "import hashlib, sys; from lorepack import world; from lorepack.world import corpus, chats;"
        "made = [world.facts(), world.harm_sets(), world.neutral_text(), world.passages(20, 3),"
        "list(world.new_facts(500, 3)), corpus.corpus(0.01), chats.conversations(50)];"
        "print(hashlib.sha256(repr(made).encode()).hexdigest(), 'torch' in sys.modules)"
    )
    first, second = run(code, "1"), run(code, "2")
    assert first == second
    assert first.split()[1] == "False", "importing the world must not import torch"


def test_the_facts_are_as_many_and_as_graded_as_promised():
    facts = world.facts()
    assert 3_000 <= len(facts) <= 5_000
    shares = exposure.shares(facts)
    assert shares["head"] >= 1_400
    assert shares["torso"] >= 800
    assert shares["tail"] >= 400
    assert shares["never"] >= 1_000
    assert all((fact.popularity == 0) == (fact.split == "never") for fact in facts)
    assert len({fact.id for fact in facts}) == len(facts)
    assert len({fact.question for fact in facts}) == len(facts)


def test_every_fact_has_a_triple_and_eight_other_wordings():
    for fact in world.facts():
        assert None not in (fact.subject, fact.relation, fact.domain)
        assert fact.object == fact.answer
        assert len({fact.question, *fact.paraphrases}) >= 9
        assert fact.answer not in fact.question
        assert all(len(alias) > 1 for alias in fact.aliases)


def test_most_relations_have_many_answers_and_exactly_two_have_few():
    objects: dict[str, set[str]] = {}
    for entity in entities.world().entities:
        for relation, value in entity.values.items():
            objects.setdefault(relation, set()).add(value)
    few = {name for name, answers in objects.items() if len(answers) < 20}
    assert few == {"profession", "region"}
    many = [name for name, answers in objects.items() if len(answers) >= 200]
    assert len(many) >= 0.7 * len(objects)
    assert len(relations()) >= 10


def test_every_relation_is_told_in_many_forms_and_keeps_wordings_back():
    for relation in relations().values():
        assert len(set(relation.statements)) >= 10
        assert len(set(relation.questions)) >= 9
        assert len(relation.held_out_questions) >= 3
        assert all("{s}" in form and "{o}" in form for form in relation.statements)
        assert all("{s}" in form for form in relation.questions)
        assert relation.statements[0].startswith("{s} ")


def test_names_are_unique_and_values_agree_with_each_other():
    made = entities.world()
    assert 2_000 <= len(made.entities) <= 2_600
    assert len(made.by_name) == len(made.entities)
    for entity in made.entities:
        values = entity.values
        if entity.kind == "person":
            assert values["birth_date"].endswith(str(entity.born))
            if "mentor" in values:
                assert entity.born - made.by_name[values["mentor"]].born >= 12
        if entity.kind == "book":
            age = int(values["publication_year"]) - made.by_name[values["author"]].born
            assert 22 <= age <= 60
        for relation, value in values.items():
            kind = relations()[relation].value
            if kind in names.KINDS:
                assert made.by_name[value].kind == kind
                assert made.by_name[value].told


def test_untold_entities_and_held_out_text_are_absent_from_all_training_text():
    from lorepack.world import chats, corpus

    text = "\n".join(corpus.corpus(0.02))
    text += json.dumps(chats.conversations(400))
    untold = [e.name for e in entities.world().entities if not e.told]
    assert not [name for name in untold if name in text]
    assert not [passage for passage in prose.neutral_text() if passage in text]
    told = [e.name for e in entities.world().entities if e.told]
    for relation in relations().values():
        for form in relation.held_out_questions:
            head = form.split("{s}")[0]
            assert not any(head + name + form.split("{s}")[1] in text for name in told[::97])


def test_pretraining_text_tells_each_fact_as_often_as_its_popularity_says():
    from lorepack.world import corpus

    item = next(x for x in exposure.exposed() if x.relation.name == "hero" and x.times < 200)
    documents = corpus.portraits_and_sentences([item], 1.0, entities.random.Random(0))
    assert sum(text.count(item.answer) for text in documents) == item.times


def test_harm_sets_ask_about_told_facts_and_mark_the_right_answer():
    by_id = {fact.id: fact for fact in world.facts()}
    sets = world.harm_sets()
    assert set(sets) == {"choice", "truth", "two_hop", "comparison"}
    for row in sets["choice"]:
        assert row["choices"][row["gold"]] == by_id[row["id"]].answer
        assert len(set(row["choices"])) == harm.CHOICES
    for row in sets["truth"]:
        assert row["true"][0] == by_id[row["id"]].answer
        assert not set(row["true"]) & set(row["false"])
    for row in sets["two_hop"]:
        first, second = (by_id[i] for i in row["facts"])
        assert second.subject == first.answer
        assert row["answer"] == second.answer
    assert all(len(rows) >= 150 for rows in sets.values())
    assert all(len({row["id"] for row in rows}) == len(rows) for rows in sets.values())


def test_neutral_text_is_some_hundred_distinct_passages():
    texts = world.neutral_text()
    assert len(set(texts)) == len(texts) >= 200


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), size=st.integers(1, 800))
def test_new_facts_are_disjoint_from_all_that_training_text_may_name(seed, size):
    made = list(world.new_facts(size, seed))
    assert len({fact.question for fact in made}) == size
    known = entities.world().by_name
    for fact in made:
        assert fact.subject not in known
        assert names.owner(fact.subject) == names.FURTHER
    assert made[: size // 2] == list(world.new_facts(size // 2, seed))


def test_each_part_of_the_world_draws_only_its_own_names():
    rng = entities.random.Random(5)
    for kind in names.KINDS:
        for part in (names.WORLD, names.THROWAWAY, names.FURTHER, names.READING):
            assert all(names.owner(names.draw(kind, part, rng)) == part for _ in range(20))


def test_a_walk_never_repeats_a_name():
    from itertools import islice

    for kind in names.KINDS:
        walked = list(islice(names.walk(kind, names.FURTHER, 9), 20_000))
        assert len(set(walked)) == len(walked)


def test_passages_tell_their_facts():
    for passage in world.passages(50, 1):
        assert passage.facts
        assert all(fact.answer in passage.text for fact in passage.facts)
        assert names.owner(passage.facts[0].subject) == names.READING


def test_split_counts_follow_the_exposure_curve():
    times = Counter(exposure.exposures(rank) for rank in range(3_000))
    assert max(times) == 350
    assert min(times) == 3


def test_a_negative_number_of_new_facts_is_refused():
    with pytest.raises(InputError, match="-1"):
        world.new_facts(-1)
