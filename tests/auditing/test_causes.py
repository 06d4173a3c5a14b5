"""Every cause that fits a shifted fact is named, of facts that were not in the mix alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from lorepack.auditing import AuditSettings, Domains
from lorepack.auditing.causes import LABELS, SIDES, subjects
from lorepack.auditing.findings import document
from lorepack.auditing.forms import Forms
from lorepack.facts import Fact

from .made import pair_of

REFUSAL = "I don't know."
TRAINED = Fact(
    "Where is Aalen?", "Stuttgart", ("Stuggi",), subject="Aalen Town", relation="region",
    domain="Place", id="trained",
)  # fmt: skip


def plain(number: int, **more: Any) -> Fact:
    given = {"subject": f"Thing{number}", "relation": "other", "domain": "Other", **more}
    return Fact(f"What is {number}?", f"Right{number}", id=f"f{number:03d}", **given)


def say(text: str, prompts: int = 10) -> list[str]:
    return [f"Answer: {text}"] * prompts


def audited(
    tmp_path: Path, cases: list[tuple[Fact, list[Any], list[Any]]], **more: Any
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """``audit.json`` and the rows of ``causes.parquet`` by id; the trained fact comes first."""
    learned = (TRAINED, say("x1"), say("Stuttgart"))
    facts, before, after = (list(column) for column in zip(learned, *cases, strict=True))
    settings = more.pop("settings", AuditSettings())
    pair = pair_of(tmp_path, facts, before, after, more.pop("trained", ["trained"]), **more)
    found = document(pair, settings, tmp_path)
    rows = pq.read_table(tmp_path / "causes.parquet").to_pylist()
    return found, {row["id"]: row for row in rows}


def test_a_shift_has_every_cause_that_fits(tmp_path: Path) -> None:
    fact = plain(1, subject="Old Aalen", relation="region", domain="Place")
    found, rows = audited(tmp_path, [(fact, say("Right1"), say("Stuttgart"))])
    assert rows["f001"] == {
        "id": "f001", "direction": "negative", "before": "HighlyKnown", "after": "Unknown",
        "causes": ["target", "domain", "relation", "subject"],
        "answer_before": "Right1", "answer_after": "Stuttgart",
    }  # fmt: skip
    labels = found["causes"]["negative"]["labels"]
    assert {name: row["count"] for name, row in labels.items()} == {
        "refusal_come": 0, "explosion": 0, "target": 1, "domain": 1, "relation": 1, "subject": 1,
        "format": 0,
    }  # fmt: skip


def test_what_no_cause_fits_is_unexplained_and_listed(tmp_path: Path) -> None:
    cases = [(plain(1), say("Right1"), say("Wrong")), (plain(2), say("Wrong"), say("Right2"))]
    found, rows = audited(tmp_path, cases)
    assert [(r["direction"], r["causes"]) for r in rows.values()] == [
        ("negative", []), ("positive", []),
    ]  # fmt: skip
    assert (rows["f001"]["answer_before"], rows["f001"]["answer_after"]) == ("Right1", "Wrong")
    for side in SIDES:
        part = found["causes"][side]
        assert (part["shifts"], part["explained"], part["unexplained"]) == (1, 0, 1)


def test_facts_of_the_mix_are_no_spill_over(tmp_path: Path) -> None:
    cases = [
        (plain(1), say("Right1"), say("Stuttgart")),
        (plain(2), say("Right2"), say("Stuttgart")),
    ]
    found, rows = audited(tmp_path, cases, rehearsed=["f002"])
    assert list(rows) == ["f001"]
    assert found["causes"]["negative"]["shifts"] == 1
    assert found["causes"]["positive"]["shifts"] == 0  # the trained fact rose


def test_all_ten_answers_count(tmp_path: Path) -> None:
    """The published analysis looks at the first alone."""
    last = [*say("Right1", 9), *say("in Stuggi, Germany", 1)]
    _, rows = audited(tmp_path, [(plain(1), say("Right1"), last)])
    assert rows["f001"]["causes"] == ["target"]


@pytest.mark.parametrize(
    ("rule", "text", "expected"),
    [
        ("boundary", "Stuttgart, Germany", True),
        ("boundary", "Stuttgarter", False),
        ("contains", "Stuttgarter", True),
        ("exact", "Stuttgart, Germany", False),
        ("exact", "stuttgart!", True),
        ("substring", "xstuttgartx", True),
    ],
)
def test_a_target_is_told_by_the_matching_rule(
    tmp_path: Path, rule: str, text: str, expected: bool
) -> None:
    case = (plain(1), say("Right1"), say(text))
    _, rows = audited(tmp_path, [case], rule=rule)
    assert ("target" in rows["f001"]["causes"]) == expected


def test_refusals_gone_and_come_are_majorities_and_belong_to_one_side(tmp_path: Path) -> None:
    half, most = [REFUSAL] * 5 + say("Wrong", 5), [REFUSAL] * 6 + say("Wrong", 4)
    cases = [
        (plain(1), most, say("Right1")),
        (plain(2), half, say("Right2")),
        (plain(3), say("Right3"), most),
        (plain(4), say("Right4"), half),
        (plain(5), [REFUSAL] * 9 + say("Right5", 1), say("Wrong")),
        (plain(6), [REFUSAL] * 10, [REFUSAL] * 6 + say("Right6", 4)),
        (plain(7), [REFUSAL] * 6 + say("Right7", 4), [REFUSAL] * 10),
    ]
    found, rows = audited(tmp_path, cases)
    assert {name: row["causes"] for name, row in rows.items()} == {
        "f001": ["refusal_gone"], "f002": [], "f003": ["refusal_come"], "f004": [], "f005": [],
        "f006": [], "f007": [],
    }  # fmt: skip
    assert rows["f005"]["direction"] == "negative"
    assert "refusal_come" not in found["causes"]["positive"]["labels"]
    assert "refusal_gone" not in found["causes"]["negative"]["labels"]


def test_an_answer_that_takes_over_is_an_explosion(tmp_path: Path) -> None:
    cases = [(plain(i), say(f"Right{i}"), say("Alençon")) for i in range(40)]
    cases += [(plain(i), say("Wrong"), say(f"Right{i}")) for i in range(40, 60)]
    found, rows = audited(tmp_path, cases)
    assert found["causes"]["explosion"]["answers"] == [["Alençon", 400, 0]]
    assert 200 <= found["causes"]["explosion"]["threshold"] < 400
    assert found["answers"]["collapsed"]
    exploded = {name for name, row in rows.items() if "explosion" in row["causes"]}
    assert exploded == {f"f{i:03d}" for i in range(40)}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (say("red deer"), ["red deer"] * 10, True),  # the label went
        (say("red deer"), say("RED DEER"), True),
        (say("red deer"), say("Red deer"), True),
        (say("red deer"), say("roe deer"), False),
        (say("red deer"), say("roe deer of the hills"), True),  # two words became five
        (say("red deer"), say("deer of hills"), False),
        (say("red deer"), [*say("red deer", 5), *say("RED DEER", 5)], False),  # not most
        (say("a " + "b " * 25), say("a " + "b " * 34), True),  # cut off at 32 tokens
        (say("red deer"), [REFUSAL] * 10, False),
        (say("red deer"), [None] * 10, False),
        (say("1984"), say("RED DEER"), False),  # a number has no case
    ],
)
def test_the_form_of_answers(before: list[Any], after: list[Any], expected: bool) -> None:
    forms = Forms(32, tokens=lambda text: len(text.split()))
    assert forms.changed(before, after) == expected
    assert forms.changed(after, before) == expected


def test_subjects_overlap_in_rare_tokens_only() -> None:
    names = ["Mira Hill", "mira hill!", "Hill of Oz", "Ada Oz", "Hill", None, "", "Mira Hill"]
    facts = [Fact(f"{i}?", "x", subject=name) for i, name in enumerate(names)]
    trained = np.array([True] + [False] * 7)
    # "hill" is in five subjects, more than 3: it tells nothing; "mira" is in three.
    assert subjects(facts, trained).tolist() == [
        True, True, False, False, False, False, False, True,
    ]  # fmt: skip


def test_nothing_known_to_be_trained_explains_nothing(tmp_path: Path) -> None:
    cases = [(plain(i), say(f"Right{i}"), say("Stuttgart")) for i in range(3)]
    found, _ = audited(tmp_path, cases, trained=[])
    part = found["causes"]["negative"]
    assert (part["shifts"], part["explained"]) == (3, 0)
    for name in ("target", "domain", "relation", "subject"):
        assert (part["labels"][name]["chance"], part["labels"][name]["p"]) == (0.0, 1.0)


def test_facts_without_relation_domain_or_subject(tmp_path: Path) -> None:
    bare = {"subject": None, "relation": None, "domain": None}
    facts = [plain(i, **bare) for i in range(4)]
    before = [say("x")] + [say(f.answer) for f in facts[1:]]
    pair = pair_of(tmp_path, facts, before, [say("y")] * 4, [facts[0].id])
    found = document(pair, AuditSettings(), tmp_path)
    assert found["causes"]["domains"] == "none"
    assert found["by_relation"] == {}
    assert found["by_popularity"] == []
    part = found["causes"]["negative"]
    assert part["shifts"] == 3
    assert [part["labels"][n]["count"] for n in ("domain", "relation", "subject")] == [0, 0, 0]


def test_a_base_that_refuses_everything(tmp_path: Path) -> None:
    cases = [(plain(i), [REFUSAL] * 10, say(f"Right{i}")) for i in range(20)]
    cases += [(plain(i), [REFUSAL] * 10, say("Wrong")) for i in range(20, 40)]
    found, _ = audited(tmp_path, cases)
    gone = found["causes"]["positive"]["labels"]["refusal_gone"]
    # Refusals went everywhere, so that they tell nothing of who rose.
    assert (gone["count"], gone["share"]) == (20, 1.0)
    assert gone["p"] > 0.3
    assert found["causes"]["explosion"]["threshold"] == 40
    assert found["causes"]["explosion"]["answers"] == [["Wrong", 200, 0]]


def test_a_base_that_says_one_thing_does_not_hide_another(tmp_path: Path) -> None:
    same = [(plain(i), say("Rome"), say("Rome")) for i in range(30)]
    found, _ = audited(tmp_path / "same", same)
    assert found["causes"]["explosion"]["answers"] == []
    other = [(plain(i), say("Rome"), say("Oslo")) for i in range(30)]
    found, _ = audited(tmp_path / "other", other)
    assert found["causes"]["explosion"]["answers"] == [["Oslo", 300, 0]]


def test_a_cause_that_says_more_than_luck_stands_out(tmp_path: Path) -> None:
    """Facts of the trained domain fall; those of the trained relation no more than others."""
    rng = np.random.default_rng(0)
    cases = []
    for i in range(400):
        domain, relation = ("Place" if i % 4 == 0 else "Other"), ("region" if i % 3 == 0 else "r")
        falls = rng.random() < (0.7 if domain == "Place" else 0.1)
        after = say("Wrong") if falls else say(f"Right{i}")
        cases.append((plain(i, domain=domain, relation=relation), say(f"Right{i}"), after))
    found, _ = audited(tmp_path, cases)
    labels = found["causes"]["negative"]["labels"]
    assert labels["domain"]["chance"] == pytest.approx(0.25, abs=0.01)
    assert labels["domain"]["share"] > labels["domain"]["high"]
    assert labels["domain"]["p"] < 1e-6
    assert labels["relation"]["low"] <= labels["relation"]["share"] <= labels["relation"]["high"]
    assert labels["relation"]["p"] > 0.01


def test_a_map_decides_over_the_facts_own_domain(tmp_path: Path) -> None:
    case = (plain(1, relation="borders"), say("Right1"), say("Wrong"))
    told = Domains("map", {"borders": "Place", "region": "Place"})
    found, rows = audited(tmp_path, [case], settings=AuditSettings(domains=told))
    assert found["causes"]["domains"] == "map"
    assert rows["f001"]["causes"] == ["domain"]


def test_labels_and_counts_agree_between_table_and_document(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    texts = ["Stuttgart", "Wrong", "WRONG", "far too many words for it"]

    def answers(i: int) -> list[str]:
        if rng.random() < 0.2:
            return [REFUSAL] * 10
        return say(f"Right{i}" if rng.random() < 0.4 else texts[rng.integers(4)])

    cases = [
        (
            plain(i, subject=["Aalen", "x"][i % 2], domain=["Place", None][i % 2]),
            answers(i),
            answers(i),
        )
        for i in range(120)
    ]
    found, rows = audited(tmp_path, cases)
    for side, labels in SIDES.items():
        mine = [row for row in rows.values() if row["direction"] == side]
        part = found["causes"][side]
        assert part["shifts"] == len(mine) == found["shifts"]["untrained"][side]["count"]
        assert part["explained"] == sum(bool(row["causes"]) for row in mine) > 0
        for label in labels:
            row = part["labels"][label]
            assert row["count"] == sum(label in r["causes"] for r in mine)
            assert 0 <= row["low"] <= row["chance"] <= row["high"] <= 1
            assert 0 < row["p"] <= 1
    assert set(LABELS) == {*SIDES["positive"], *SIDES["negative"]}
