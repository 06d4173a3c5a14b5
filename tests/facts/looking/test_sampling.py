"""Samples: as many as asked, fair, the same again, and in the file's order."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.facts.looking import made

from lorepack.errors import InputError
from lorepack.facts import Fact, load
from lorepack.facts.looking import sample
from lorepack.facts.looking.sampling import fair_counts


def numbered(size: int) -> list[Fact]:
    return [Fact(f"What is number {n}?", str(n), relation="ab"[n % 10 == 0]) for n in range(size)]


def drawn(path: Path, size: int, **options: object) -> list[int]:
    out = path.with_name("out.jsonl")
    assert sample(path, out, size, **options).facts == size
    return [int(fact.answer) for fact in load(out)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made.written(tmp_path / "facts.jsonl", numbered(1_000))


def test_a_sample_is_in_order_and_the_same_again(path: Path):
    one = drawn(path, 100, seed=1)
    assert one == sorted(set(one)) == drawn(path, 100, seed=1)
    assert one != drawn(path, 100, seed=2)


def test_a_smaller_sample_is_part_of_a_larger_one(path: Path):
    assert set(drawn(path, 50)) < set(drawn(path, 200)) < set(drawn(path, 1_000))


def test_every_fact_is_as_likely_as_any_other(path: Path):
    times = np.zeros(1_000)
    for seed in range(200):
        times[drawn(path, 100, seed=seed)] += 1
    # Binomial with mean 20 and variance 18: chi-square over 1,000 facts, six deviations.
    assert abs(((times - 20) ** 2 / 18).sum() - 1_000) < 6 * (2 * 1_000) ** 0.5


def test_strata_give_the_same_number_each_while_they_can(path: Path):
    report = sample(path, path.with_name("out.jsonl"), 60, by="relation")
    assert report.strata == {"b": 30, "a": 30}
    report = sample(path, path.with_name("out.jsonl"), 400, by="relation")
    assert report.strata == {"b": 100, "a": 300}


def test_popularity_gives_head_torso_and_tail(tmp_path: Path):
    facts = [Fact(f"q{n}", f"{n}", popularity=float(1 + 5 * (n < 100) + 50 * (n < 10)))
             for n in range(1_000)]  # fmt: skip
    path = made.written(tmp_path / "facts.jsonl", facts)
    report = sample(path, tmp_path / "out.csv", 90, by="popularity")
    assert report.strata == {"head": 10, "torso": 40, "tail": 40}


@given(st.lists(st.integers(0, 30), min_size=1, max_size=8), st.integers(0, 240))
def test_what_is_shared_out_is_as_even_as_it_can_be(sizes: list[int], whole: int):
    whole = min(whole, sum(sizes))
    counts = fair_counts(sizes, whole)
    assert sum(counts) == whole
    assert all(0 <= count <= size for count, size in zip(counts, sizes, strict=True))
    least = min((c for c, s in zip(counts, sizes, strict=True) if c < s), default=whole)
    assert max(counts) <= least + 1


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"size": 1_001}, "a sample of 1,001 from .* which has 1,000 facts"),
        ({"size": 0}, "expected 1 or more"),
        ({"size": 5, "by": "relatoin"}, "did you mean relation"),
        ({"size": 5, "by": "popularity"}, r"facts\.jsonl:1: no popularity"),
    ],
)
def test_what_cannot_be_drawn_is_said(path: Path, options: dict, why: str):
    out = path.with_name("out.jsonl")
    with pytest.raises(InputError, match=why):
        sample(path, out, **options)
    assert not out.exists()


def test_repeated_rows_count_as_rows(tmp_path: Path):
    path = made.written(tmp_path / "f.jsonl", [Fact("q", "a")] * 5 + [Fact("r", "b")])
    sample(path, tmp_path / "o.jsonl", 6)
    assert Counter(line for line in (tmp_path / "o.jsonl").read_text().splitlines()).total() == 6
