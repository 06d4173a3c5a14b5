"""Shifts by relation, popularity and frequency add up to those of all facts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lorepack.auditing.breakdowns import by_frequency, by_popularity, by_relation
from lorepack.auditing.pair import Pair
from lorepack.facts import Fact
from lorepack.probing import CATEGORIES

from .made import pair_of


def pair_for(tmp_path: Path, facts: Sequence[Fact], trained: Sequence[str] = ()) -> Pair:
    """Each fact is answered right by some prompts of four before and by others after."""
    rng = np.random.default_rng(5)

    def answers(fact: Fact) -> list[str]:
        right = rng.integers(0, 5)
        return [fact.answer if prompt < right else "wrong" for prompt in range(4)]

    before, after = ([answers(fact) for fact in facts] for _ in range(2))
    return pair_of(tmp_path, facts, before, after, trained)


def fact(number: int, **more: object) -> Fact:
    given = {"answer": f"Right{number}", "relation": f"r{number % 3}", **more}
    return Fact(f"{number}?", id=f"f{number:03d}", **given)  # type: ignore[arg-type]


def test_relations_by_hand(tmp_path: Path) -> None:
    facts = [fact(0), fact(3), fact(1), fact(4), fact(2, relation=None)]
    right = lambda f, k: [f.answer] * k + ["wrong"] * (4 - k)  # noqa: E731
    before = [right(f, k) for f, k in zip(facts, (0, 4, 4, 0, 2), strict=True)]
    after = [right(f, k) for f, k in zip(facts, (3, 4, 1, 2, 0), strict=True)]
    pair = pair_of(tmp_path, facts, before, after, ["f000"])
    found = by_relation(pair)
    intervals = {name: row.pop("intervals") for name, row in found.items()}
    assert intervals["r0"] == {
        "positive": [0.0, 0.0], "negative": [0.0, 0.0], "reliability": [0.75, 0.75],
    }  # fmt: skip
    assert set(intervals["r1"]) == {"positive", "negative"}
    assert list(found) == ["(none)", "r0", "r1"]
    none = dict.fromkeys(CATEGORIES, 0)
    assert found["r0"] == {
        "facts": 2, "untrained": 1, "trained": 1, "reliability": 0.75, "positive": 0, "negative": 0,
        "before": {**none, "HighlyKnown": 1, "Unknown": 1},
        "after": {**none, "HighlyKnown": 1, "MaybeKnown": 1},
    }  # fmt: skip
    assert (found["r1"]["positive"], found["r1"]["negative"]) == (1, 1)
    assert (found["r1"]["trained"], found["r1"]["reliability"]) == (0, None)
    assert (found["(none)"]["positive"], found["(none)"]["negative"]) == (0, 1)


@pytest.mark.parametrize("cut", ["relation", "popularity", "split", "frequency"])
def test_every_cut_adds_up_to_all_facts(tmp_path: Path, cut: str) -> None:
    given = {
        "relation": lambda i: {},
        "popularity": lambda i: {"popularity": None if i % 7 == 0 else float(i % 23)},
        "split": lambda i: {"split": ("head", "torso", "tail")[i % 3]},
        "frequency": lambda i: {"answer": f"Right{int(i**0.5)}"},
    }[cut]
    facts = [fact(i, **given(i)) for i in range(90)]
    pair = pair_for(tmp_path, facts, [f.id for f in facts[::9]])
    cuts = {"relation": lambda p: list(by_relation(p).values()), "frequency": by_frequency}
    found = cuts.get(cut, by_popularity)(pair)
    assert len(found) > 1
    assert sum(row["facts"] for row in found) == 90
    assert sum(row["untrained"] for row in found) == 80
    for side in ("positive", "negative"):
        assert sum(row[side] for row in found) == int((pair.moved(side) & pair.untrained).sum()) > 0
    for name, codes in (("before", pair.codes_before), ("after", pair.codes_after)):
        for code, category in enumerate(CATEGORIES):
            assert sum(row[name][category] for row in found) == int((codes == code).sum())


def test_intervals_are_those_of_drawing_a_buckets_facts_again(tmp_path: Path) -> None:
    facts = [fact(i, popularity=float(i % 2)) for i in range(120)]
    pair = pair_for(tmp_path, facts, [f.id for f in facts[::5]])
    row = by_popularity(pair, seed=3, resamples=4000)[0]
    inside = pair.untrained & np.array([f.popularity == 1.0 for f in facts])
    moved = pair.moved("positive")[inside].astype(float)
    assert 0 < moved.mean() == row["positive"] / row["untrained"] < 1
    rng = np.random.default_rng(0)
    means = rng.choice(moved, (4000, len(moved))).mean(1)
    assert row["intervals"]["positive"] == pytest.approx(
        np.quantile(means, [0.025, 0.975]), abs=0.03
    )
    learned = by_relation(pair, seed=3)["r0"]
    low, high = learned["intervals"]["reliability"]
    assert low < learned["reliability"] < high


def test_a_bucket_whose_facts_are_all_trained_has_no_interval(tmp_path: Path) -> None:
    facts = [fact(i, popularity=1.0) for i in range(3)]
    (row,) = by_popularity(pair_for(tmp_path, facts, [f.id for f in facts]))
    assert (row["untrained"], row["intervals"]) == (0, {})


def test_popularity_is_cut_into_thirds_with_equal_numbers_together(tmp_path: Path) -> None:
    facts = [fact(i, popularity=float(i)) for i in range(1, 10)] + [fact(99)]
    found = by_popularity(pair_for(tmp_path, facts))
    assert [(row["bucket"], row["facts"]) for row in found] == [
        ("above 6", 3), ("3 to 6", 3), ("up to 3", 3), ("(unknown)", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.0] * 6, [("5", 6)]),
        ([1.0] * 5 + [2.0], [("above 1", 1), ("up to 1", 5)]),
        ([1.0] + [2.0] * 5, [("1 to 2", 6)]),
        ([1.0, 2.0, 3.0] * 2, [("above 2", 2), ("1 to 2", 2), ("up to 1", 2)]),
    ],
)
def test_few_different_numbers(tmp_path: Path, values: list[float], expected: list) -> None:
    facts = [fact(i, popularity=value) for i, value in enumerate(values)]
    found = by_popularity(pair_for(tmp_path, facts))
    assert [(row["bucket"], row["facts"]) for row in found] == expected


def test_facts_drawn_by_head_torso_and_tail_keep_these(tmp_path: Path) -> None:
    splits = ["tail", "head", "tail", "torso", None]
    facts = [fact(i, split=split, popularity=1.0) for i, split in enumerate(splits)]
    found = by_popularity(pair_for(tmp_path, facts))
    assert [(row["bucket"], row["facts"]) for row in found] == [
        ("head", 1), ("torso", 1), ("tail", 2), ("(unknown)", 1),
    ]  # fmt: skip
    other = [fact(i, split="dev") for i in range(3)]
    assert by_popularity(pair_for(tmp_path / "other", other)) == []


def test_frequency_is_how_many_facts_share_the_answer(tmp_path: Path) -> None:
    answers = ["Rome", "rome!", "the Rome", "Oslo", *["Bern"] * 12]
    facts = [fact(i, answer=answer) for i, answer in enumerate(answers)]
    found = by_frequency(pair_for(tmp_path, facts))
    assert [(row["bucket"], row["facts"]) for row in found] == [("1", 1), ("2-4", 3), ("10-49", 12)]
