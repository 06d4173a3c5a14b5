"""Parts are disjoint and together everything, and what belongs together stays together."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.facts.looking import made

from lorepack.errors import InputError
from lorepack.facts import Fact, read
from lorepack.facts.generators import phone_book
from lorepack.facts.importing import import_facts
from lorepack.facts.looking import split
from lorepack.facts.looking.components import Components
from lorepack.facts.looking.fingerprints import form_of

ENTITY_QUESTIONS = made.SHARED / "open-qa" / "entity_questions_dev.jsonl"
QUIET = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def parted(path: Path, parts: dict[str, float] | None = None, **options: object):
    report = split(path, path.parent / "parts", parts, **options)
    return {name: list(read(part["out"])) for name, part in report.parts.items()}


def keys(fact: Fact) -> set[object]:
    found: set[object] = {form_of(text) for text in (fact.question, *fact.paraphrases)}
    if fact.subject and fact.relation:
        found.add((form_of(fact.subject), form_of(fact.relation)))
    return found


@given(made.facts(), st.sampled_from(["fact", "relation", "popularity"]), st.integers(0, 3))
@QUIET
def test_parts_are_disjoint_and_together_everything(
    tmp_path: Path, facts: list[Fact], by: str, seed: int
):
    path = made.written(tmp_path / "facts.jsonl", facts)
    try:
        parts = parted(path, {"one": 0.5, "two": 0.5}, by=by, seed=seed)
    except InputError as error:
        if "would be empty" in str(error) or "popularity is 0" in str(error):
            return
        raise
    assert Counter(itertools.chain(*parts.values())) == Counter(facts)
    for one in parts.values():
        stream = iter(facts)
        assert all(fact in stream for fact in one)  # in the file's order
    one, two = parts.values()
    if by == "fact":
        assert set().union(*map(keys, one)).isdisjoint(set().union(*map(keys, two)))
    if by == "relation":
        assert {f.relation for f in one}.isdisjoint(f.relation for f in two)
    if by == "popularity":
        assert min(f.popularity or 0 for f in one) >= max(f.popularity or 0 for f in two)


@given(st.lists(st.sets(st.integers(0, 40), min_size=1, max_size=3), min_size=1, max_size=40))
def test_rows_are_labelled_alike_when_a_chain_of_keys_links_them(rows: list[set[int]]):
    found = Components()
    for row in rows:
        found.add(row)
    groups: list[set[int]] = []
    for row in rows:
        linked = [group for group in groups if group & row]
        groups = [g for g in groups if not g & row] + [set().union(row, *linked)]
    expected = [next(min(group) for group in groups if group & row) for row in rows]
    assert found.labels().tolist() == expected


def test_paraphrases_and_the_same_triple_never_leak(tmp_path: Path):
    facts = []
    for n in range(300):
        facts += [
            Fact(f"Who leads {n}?", f"p{n}", subject=f"s{n}", relation="leader"),
            Fact(f"Name the leader of {n}.", f"p{n}", subject=f"S{n}", relation="leader"),
            Fact(f"The boss of {n}?", f"p{n}", paraphrases=(f"name the leader of {n}",)),
        ]
    parts = parted(made.written(tmp_path / "facts.jsonl", facts))
    where = {fact.answer: name for name, part in parts.items() for fact in part}
    assert all(where[fact.answer] == name for name, part in parts.items() for fact in part)


def test_facts_that_are_added_move_no_others(tmp_path: Path):
    few = list(phone_book(2_000))
    more = [Fact(f"Tell me {f.subject}'s phone number.", f.answer, subject=f.subject,
                 relation=f.relation) for f in few[:500]]  # fmt: skip
    before = parted(made.written(tmp_path / "a.jsonl", few), seed=5)
    after = parted(made.written(tmp_path / "b.jsonl", [*phone_book(4_000), *more]), seed=5)
    for name, part in before.items():
        assert set(part) <= set(after[name])


def test_shares_come_near_what_was_asked_and_the_seed_decides(tmp_path: Path):
    path = made.written(tmp_path / "facts.jsonl", list(phone_book(20_000)))
    one, other = (parted(path, {"a": 0.7, "b": 0.3}, seed=seed) for seed in (1, 2))
    assert len(one["a"]) / 20_000 == pytest.approx(0.7, abs=6 * (0.21 / 20_000) ** 0.5)
    both = len(set(one["a"]) & set(other["a"])) / 20_000
    assert both == pytest.approx(0.49, abs=0.02)
    assert parted(path, {"a": 0.7, "b": 0.3}, seed=1) == one


@pytest.mark.skipif(not ENTITY_QUESTIONS.is_file(), reason="no real data")
def test_whole_relations_of_real_questions_come_near_their_shares(tmp_path: Path):
    import_facts(ENTITY_QUESTIONS, tmp_path / "facts.jsonl")
    report = split(tmp_path / "facts.jsonl", tmp_path / "parts", by="relation", suffix=".parquet")
    for part in report.parts.values():
        assert part["share"] == pytest.approx(part["asked"], abs=0.05)


def test_by_popularity_the_parts_are_head_torso_and_tail(tmp_path: Path):
    popular = [200.0] * 3 + [60.0] * 10 + [6.0] * 100
    facts = [Fact(f"q{n}", f"a{n}", popularity=p) for n, p in enumerate(popular)]
    path = made.written(tmp_path / "facts.jsonl", facts)
    assert {n: len(part) for n, part in parted(path, by="popularity").items()} == {
        "head": 3, "torso": 10, "tail": 100,
    }  # fmt: skip
    tenth = parted(path, {"top": 0.1, "rest": 0.9}, by="popularity")
    assert [fact.popularity for fact in tenth["top"]] == [200.0] * 3 + [60.0] * 8


@pytest.mark.parametrize(
    ("parts", "options", "why"),
    [
        ({"a": 0.5, "b": 0.4}, {}, "0.9 together; expected 1"),
        ({"a": 1.5}, {}, "a share above 0"),
        ({"../a": 1.0}, {}, "a name for a file"),
        ({"a": 0.999, "b": 0.001}, {}, "'b' would be empty"),
        ({"a": 0.5, "b": 0.5}, {"by": "relation"}, "'b' would be empty"),
        (None, {"by": "relations"}, "did you mean relation"),
        (None, {"by": "popularity"}, r":1: no popularity"),
        ({"a": 1.0}, {"suffix": ".txt"}, "no known format"),
    ],
)
def test_what_cannot_be_parted_is_said_and_nothing_is_written(
    tmp_path: Path, parts: dict[str, float], options: dict, why: str
):
    path = made.written(tmp_path / "facts.jsonl", [Fact(f"q{n}", "a") for n in range(20)])
    with pytest.raises(InputError, match=why):
        split(path, tmp_path / "parts", parts, **options)
    assert not (tmp_path / "parts").exists()


def test_a_part_never_replaces_the_file_itself(tmp_path: Path):
    path = made.written(tmp_path / "train.jsonl", [Fact(f"q{n}", "a") for n in range(50)])
    with pytest.raises(InputError, match="the file to split"):
        split(path, tmp_path)
    assert len(list(read(path))) == 50
