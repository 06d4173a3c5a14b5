"""Several audits beside each other: what is paired, what is grouped, and what is counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lorepack.auditing.compare import ALL_PAIRS, Entry, document, groups, pairs
from lorepack.auditing.mcnemar import mcnemar
from lorepack.facts import Fact
from probing.scripted import Asked, ScriptedModel, some_facts

from .test_audit import HOW, audit_of, before_of

BASE = {"name": "toy", "fingerprint": "f" * 64}
PROMPTS = HOW.prompts


def entry_of(
    tmp_path: Path,
    name: str,
    facts: Sequence[Fact],
    right: dict[int, int],
    trained: set[str],
    *,
    known: dict[int, int] | None = None,
    **more: Any,
) -> Entry:
    """An adapter that answers ``right[i]`` prompts of fact i, where the base does ``known[i]``."""
    place = {fact.question: i for i, fact in enumerate(some_facts(40))}

    def say(asked: Asked) -> str:
        i, prompt = place[asked.question], int(asked.key.split()[1])
        told = right if asked.adapted else (known or {})
        good = asked.sample is None and prompt < told.get(i, 0)
        return f"Answer: Town{i}" if good else "Answer: Nowhere"

    model = ScriptedModel(say)
    folder = tmp_path / name
    before = before_of(model, list(facts), folder / "before")
    audit = audit_of(model, list(facts), before, trained, folder / "audit", neutral=None,
                     rehearsed=more.get("rehearsed", ()))  # fmt: skip
    return Entry(name, audit, **{"base": BASE, "trained": frozenset(trained), **more})


def ids(*numbers: int) -> set[str]:
    return {f"id{i:04d}" for i in numbers}


def test_pairs_by_hand(tmp_path: Path) -> None:
    facts = some_facts(12)
    a = entry_of(tmp_path, "a", facts, {0: 4, 1: 4, 2: 3, 3: 2, 6: 4}, ids(0, 1, 2, 3))
    b = entry_of(tmp_path, "b", facts, {0: 4, 1: 1, 2: 0, 3: 4, 7: 4, 8: 3}, ids(0, 1, 2, 3, 4),
                 rehearsed=frozenset(ids(8)))  # fmt: skip
    trained, untrained = pairs([a, b])
    # Trained by both: 0 to 3. Majority of 4: a has 0, 1, 2; b has 0, 3.
    assert trained["set"] == "trained"
    assert (trained["facts"], trained["only_a"], trained["only_b"]) == (4, 2, 1)
    assert trained["p"] == mcnemar(2, 1)
    assert trained["difference"] == pytest.approx((4 + 4 + 3 + 2 - 4 - 1 - 0 - 4) / 16)
    assert trained["low"] <= trained["difference"] <= trained["high"]
    # In neither mix: 5, 6, 7, 9, 10, 11 (8 was rehearsed by b).
    assert (untrained["facts"], untrained["only_a"], untrained["only_b"]) == (6, 1, 1)
    assert untrained["difference"] == 0


def test_facts_are_joined_by_id_and_only_those_that_both_were_asked(tmp_path: Path) -> None:
    facts = some_facts(12)
    a = entry_of(tmp_path, "a", facts[:8], {5: 4, 6: 4, 7: 4}, set())
    b = entry_of(tmp_path, "b", facts[:4:-1], {11: 4, 5: 4}, set())
    (row,) = pairs([a, b])
    assert (row["set"], row["facts"], row["only_a"], row["only_b"]) == ("untrained", 3, 2, 0)


def test_adapters_that_share_no_fact_are_no_pair(tmp_path: Path) -> None:
    facts = some_facts(12)
    a = entry_of(tmp_path, "a", facts[:6], {}, set())
    b = entry_of(tmp_path, "b", facts[6:], {}, set())
    assert pairs([a, b]) == []


def test_holm_runs_over_the_pairs_of_a_set(tmp_path: Path) -> None:
    facts = some_facts(20)
    first = entry_of(tmp_path, "a", facts, dict.fromkeys(range(12), 4), set())
    others = [entry_of(tmp_path, name, facts, {}, set()) for name in "bc"]
    found = {(r["a"], r["b"]): r for r in pairs([first, *others])}
    p = mcnemar(12, 0)
    assert found["a", "b"]["p"] == p
    assert found["a", "b"]["holm"] == pytest.approx(3 * p)
    assert found["b", "c"]["holm"] == 1.0


def test_too_many_adapters_are_each_compared_with_the_first(tmp_path: Path) -> None:
    one = entry_of(tmp_path, "a", some_facts(6), {0: 4}, set())
    many = [Entry(f"n{i}", one.audit, BASE) for i in range(ALL_PAIRS + 1)]
    found = document(many)
    assert {row["a"] for row in found["pairs"]} == {"n0"}
    assert len(found["pairs"]) == ALL_PAIRS
    assert any("too many pairs" in note for note in found["notes"])


def test_seeds_are_a_spread_and_nothing_else_is(tmp_path: Path) -> None:
    facts = some_facts(12)
    how = {"recipe": {"rank": 1}, "mix": {"known": 0}}
    entries = [
        entry_of(tmp_path, f"run-seed{seed}", facts, {0: right}, ids(0), settings=how, seed=seed)
        for seed, right in ((0, 4), (1, 2), (7, 3))
    ]
    entries.append(entry_of(tmp_path, "other", facts, {0: 4}, ids(0), seed=0,
                            settings={**how, "recipe": {"rank": 2}}))  # fmt: skip
    entries.append(entry_of(tmp_path, "unknown", facts, {0: 4}, ids(0)))
    found = document(entries)
    (group,) = found["groups"]
    assert group["name"] == "run (3 seeds)"
    assert group["rows"] == ["run-seed0", "run-seed1", "run-seed7"]
    assert group["seeds"] == [0, 1, 7]
    assert group["reliability"] == {"mean": 0.75, "min": 0.5, "max": 1.0}
    assert "neutral_kl" not in group, "it was not measured"


def test_one_seed_twice_is_no_spread(tmp_path: Path) -> None:
    facts = some_facts(6)
    how = {"recipe": {"rank": 1}}
    entries = [
        entry_of(tmp_path, name, facts, {}, set(), settings=how, seed=3) for name in ("a", "b")
    ]
    assert groups(entries, [{}, {}]) == []


def test_each_adapter_stands_beside_its_own_base(tmp_path: Path) -> None:
    facts = some_facts(8)
    a = entry_of(tmp_path, "a", facts, {0: 4}, ids(0), known={1: 4, 2: 4})
    b = entry_of(tmp_path, "b", facts, {0: 4, 1: 1}, ids(0), base={**BASE, "fingerprint": "e" * 64})
    found = document([a, b])
    assert found["model"] is None
    assert [(row["known_before"], row["known_after"]) for row in found["rows"]] == [
        (2 / 8, 1 / 8),
        (0, 2 / 8),
    ]
    assert found["rows"][0]["spillover_negative"] == pytest.approx(2 / 7)
    assert found["rows"][0]["reliability"] == 1.0


def test_other_prompts_are_told(tmp_path: Path) -> None:
    facts = some_facts(8)
    a = entry_of(tmp_path, "a", facts, {}, set())
    b = entry_of(tmp_path, "b", facts[:6], {}, set())
    assert not any("was not asked as" in note for note in document([a, a_named(a)])["notes"])
    assert any("b was not asked as a was (facts" in note for note in document([a, b])["notes"])


def a_named(entry: Entry) -> Entry:
    return Entry("again", entry.audit, entry.base)


def test_nothing_of_it_depends_on_when_or_where_it_was_measured(tmp_path: Path) -> None:
    facts = some_facts(8)
    rows = [
        document([entry_of(tmp_path / place, "a", facts, {0: 4}, ids(0))])["rows"]
        for place in ("here", "there")
    ]
    assert rows[0] == rows[1]
    assert not {"seconds", "out"} & rows[0][0].keys()
