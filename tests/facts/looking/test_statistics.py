"""Statistics agree with counting by hand, and hold what real files are known to hold."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from tests.facts.looking import made

from lorepack.errors import InputError
from lorepack.facts import Fact, load, write
from lorepack.facts.generators import phone_book
from lorepack.facts.importing import import_facts
from lorepack.facts.looking import relations, stats
from lorepack.facts.looking.counting import Frequent
from lorepack.facts.looking.fingerprints import form_of
from lorepack.facts.looking.popularity import Popularity, bands

ENTITY_QUESTIONS = made.SHARED / "open-qa" / "entity_questions_dev.jsonl"


@given(made.facts())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_every_number_is_that_of_counting_by_hand(tmp_path: Path, facts: list[Fact]):
    found = stats(made.written(tmp_path / "facts.jsonl", facts), count=lambda t: [9] * len(t))
    assert found.facts == len(facts)
    answers = Counter(form_of(fact.answer) for fact in facts)
    assert found.distinct["questions"].count == len({form_of(fact.question) for fact in facts})
    assert found.distinct["answers"].count == len(answers)
    assert found.distinct["subjects"].count == len({f.subject for f in facts} - {None})
    assert [n for _, n in found.answers.top] == sorted(answers.values(), reverse=True)
    assert found.with_aliases == sum(bool(fact.aliases) for fact in facts)
    for one in found.relations:
        name = None if one.relation == "(no relation)" else one.relation
        own = Counter(form_of(f.answer) for f in facts if f.relation == name)
        shares = np.array(list(own.values())) / own.total()
        assert (one.facts, one.answers) == (own.total(), len(own))
        assert one.top_share == pytest.approx(shares.max())
        assert own[form_of(one.top or "")] == max(own.values())
        assert one.entropy == pytest.approx(-(shares * np.log2(shares)).sum(), abs=1e-9)
    lengths = sorted(len(fact.question) for fact in facts)
    length = found.lengths["question"]["characters"]
    assert (length.least, length.most, length.total) == (lengths[0], lengths[-1], sum(lengths))
    assert length.median == np.quantile(lengths, 0.5, method="inverted_cdf")
    assert sum(n for _, _, n in length.histogram) == len(facts)
    assert found.lengths["answer"]["tokens"].total == 9 * len(facts)
    json.dumps(found.to_json(), allow_nan=False)


def test_the_top_answer_is_named_only_where_it_is_sure(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(relations, "Frequent", lambda: Frequent(2))  # forgets nearly all
    rng, seen, true = random.Random(3), relations.Relations(), {"r": Counter(), "s": Counter()}
    for _ in range(400):
        name, answer = rng.choice("rs"), f"town {rng.randrange(12)}"
        true[name][answer] += 1
        seen.add(name, answer, answer)
    for one in seen.summary():
        most = max(true[one.relation].values())
        assert one.top_share == pytest.approx(most / one.facts)
        assert one.top is None or true[one.relation][one.top] == most


class TestPopularity:
    def test_head_torso_and_tail_hold_a_third_of_the_sum_each(self):
        values = np.array([1.0] * 60 + [6.0] * 10 + [60.0])
        assert Counter(bands(values).tolist()) == {0: 1, 1: 10, 2: 60}

    def test_equal_values_are_in_one_band(self):
        rng = np.random.default_rng(0)
        values = np.floor(rng.pareto(1, 5_000))
        found = bands(values)
        for value in np.unique(values):
            assert len(set(found[values == value].tolist())) == 1
        assert set(np.diff(found[np.argsort(-values)])) <= {0, 1}

    def test_quantiles_and_histogram_are_those_of_all_values(self):
        rng = np.random.default_rng(1)
        values = [0.0, *rng.lognormal(3, 2, 3_000).tolist()]
        seen = Popularity()
        for value in values:
            seen.add(value)
        found = seen.summary()
        assert found is not None
        assert found.exact
        assert found.quantiles["0.5"] == pytest.approx(np.median(values))
        assert found.histogram[0] == (0.0, 0.0, 1)
        assert sum(n for _, _, n in found.histogram) == len(values)
        for low, high, count in found.histogram[1:]:
            near = sum(low * 0.99 <= v < high * 1.01 for v in values)
            assert count <= near

    def test_a_part_of_very_many_is_fair(self):
        seen = Popularity(most=2_000)
        for number in range(100_000):
            seen.add(float(number % 100))
        found = seen.summary()
        assert found is not None
        assert (found.facts, found.exact) == (100_000, False)
        assert found.quantiles["0.25"] == pytest.approx(24.5, abs=3)
        assert sum(n for _, _, n in found.histogram) == pytest.approx(100_000, rel=0.01)

    def test_values_below_0_have_no_head(self, tmp_path: Path):
        facts = [Fact("q", "a", popularity=-1.0), Fact("r", "b", popularity=2.0)]
        found = stats(made.written(tmp_path / "f.jsonl", facts)).popularity
        assert found is not None
        assert found.bands is None


def test_a_phone_book_is_seen_for_what_it_is(tmp_path: Path):
    path = tmp_path / "book.parquet"
    write(path, phone_book(20_000))
    found = stats(path)
    assert found.facts == 20_000
    assert found.labels["source"].top == [("phonebook", 20_000)]
    (one,) = found.formats
    assert one.total == pytest.approx(20_000 * 32.42, rel=0.001)
    (relation,) = found.relations
    assert not relation.enough  # nearly all answers occur once


@pytest.mark.skipif(not ENTITY_QUESTIONS.is_file(), reason="no real data")
def test_real_questions_have_known_relations_and_no_random_values(tmp_path: Path):
    path = tmp_path / "facts.jsonl"
    import_facts(ENTITY_QUESTIONS, path)
    found, facts = stats(path), load(path)
    assert found.facts == len(facts)
    assert [(one.relation, one.facts) for one in found.relations] == sorted(
        Counter(fact.relation for fact in facts).items(), key=lambda item: (-item[1], item[0])
    )
    top = max(Counter(form_of(fact.answer) for fact in facts).values())
    assert found.answers.top[0] == ("United States of America", top)
    assert not any(one.random for one in found.formats)


def test_a_bad_row_stops_by_its_line(tmp_path: Path):
    path = tmp_path / "facts.jsonl"
    path.write_text('{"question": "q", "answer": "a"}\n{"question": "q"}\n')
    with pytest.raises(InputError, match=r"facts\.jsonl:2: no 'answer'"):
        stats(path)
