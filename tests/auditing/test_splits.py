"""Development and test share nothing, know as much, and do not depend on the order of the facts."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.auditing.splits import split, text_halves
from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.probing import CATEGORIES


def probe_of(categories, prompts=4):
    return SimpleNamespace(category_of=categories.__getitem__, prompts=range(prompts))


def made(count, draw):
    facts = [Fact(f"Who is {n}?", f"N {n}", id=f"f{n}") for n in range(count)]
    return facts, {fact.id: draw.choice(CATEGORIES) for fact in facts}


@given(st.integers(4, 60), st.integers(2, 80), st.integers(0, 3), st.randoms())
def test_parts_are_apart_even_and_without_the_mix(count, most, seed, draw):
    facts, categories = made(count, draw)
    trained, rehearsed = {"f0"}, {"f1"}
    texts = [f"text {n % 7}" for n in range(9)]
    found = split(facts, probe_of(categories), trained, rehearsed, texts, most=most, seed=seed)
    first, second = set(found.development.untrained), set(found.test.untrained)
    assert first | second == {fact.id for fact in facts} - trained - rehearsed
    assert not first & second
    assert first
    assert second
    ours, theirs = (Counter(categories[name] for name in part) for part in (first, second))
    if len(first) > 1:
        assert all(abs(ours[name] - theirs[name]) <= 1 for name in CATEGORIES)
    assert set(found.asked) <= first
    assert len(found.asked) == min(most, len(first))
    assert found.trained == ("f0",)
    assert found.development.prompts == (0, 2)
    assert found.test.prompts == (1, 3)
    shuffled = list(facts)
    draw.shuffle(shuffled)
    again = split(shuffled, probe_of(categories), trained, rehearsed, texts, most=most, seed=seed)
    assert set(again.development.untrained) == first
    assert set(again.asked) == set(found.asked)


@given(st.lists(st.sampled_from("abcdefgh"), max_size=20), st.integers(0, 5))
def test_equal_texts_are_in_one_half(texts, seed):
    first, second = text_halves(texts, seed)
    assert sorted(first + second) == list(range(len(texts)))
    assert not {texts[i] for i in first} & {texts[i] for i in second}
    assert abs(len({texts[i] for i in first}) - len({texts[i] for i in second})) <= 1


def test_a_subsample_keeps_the_shares_of_the_categories():
    facts = [Fact(f"Who is {n}?", f"N {n}", id=f"f{n}") for n in range(401)]
    categories = {f.id: CATEGORIES[0 if n % 4 else 3] for n, f in enumerate(facts)}
    found = split(facts, probe_of(categories), {"f0"}, (), [], most=40, seed=1)
    counts = Counter(categories[name] for name in found.asked)
    assert counts == {"HighlyKnown": 30, "Unknown": 10}


def test_another_seed_cuts_elsewhere():
    facts = [Fact(f"Who is {n}?", f"N {n}", id=f"f{n}") for n in range(40)]
    categories = dict.fromkeys((f.id for f in facts), "Unknown")
    cuts = {
        split(facts, probe_of(categories), {"f0"}, (), [], most=9, seed=s).development.untrained
        for s in range(3)
    }
    assert len(cuts) == 3


def test_one_prompt_serves_both_and_too_little_is_refused():
    facts = [Fact(f"Who is {n}?", f"N {n}", id=f"f{n}") for n in range(3)]
    categories = dict.fromkeys((f.id for f in facts), "Unknown")
    found = split(facts, probe_of(categories, 1), {"f0"}, (), [], most=9, seed=0)
    assert found.development.prompts == found.test.prompts == (0,)
    with pytest.raises(InputError, match="got 1, expected at least 2"):
        split(facts, probe_of(categories), {"f0", "f1"}, (), [], most=9, seed=0)
    with pytest.raises(InputError, match="no trained fact is among the facts"):
        split(facts, probe_of(categories), {"other"}, (), [], most=9, seed=0)


def test_the_ids_are_kept(tmp_path):
    facts = [Fact(f"Who is {n}?", f"N {n}", id=f"f{n}") for n in range(9)]
    categories = dict.fromkeys((f.id for f in facts), "Unknown")
    found = split(facts, probe_of(categories), {"f0"}, (), [], most=2, seed=0)
    found.write(tmp_path / "split.parquet")
    rows = pq.read_table(tmp_path / "split.parquet").to_pylist()
    assert {row["id"]: row["part"] for row in rows} == {
        **dict.fromkeys(found.development.untrained, "development"),
        **dict.fromkeys(found.test.untrained, "test"),
    }
    assert [row["id"] for row in rows if row["asked"]] == list(found.asked)
