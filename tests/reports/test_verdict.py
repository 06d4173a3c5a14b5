"""The sentence on top says what the files say, and says it when it is bad."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.reports import figures as fig
from lorepack.reports import summary
from lorepack.reports.audit_file import Audit, parse
from lorepack.reports.verdict import verdict

from . import sample_run
from .sample_run import BARE, COLLAPSED, FORGETFUL, GOOD, NOTHING, Shape

PERCENT = r"([<>]?[\d.]+)\u202f%"


def audit_json(tmp_path: Path, shape: Shape) -> dict[str, Any]:
    run = sample_run.write_run(tmp_path / "run", shape)
    return json.loads((run / "audit" / "audit.json").read_text())


def names(audit: Audit) -> set[str]:
    return {caution.name for caution in verdict(audit).cautions}


def test_every_number_of_the_sentence_is_in_the_files(tmp_path: Path) -> None:
    found = audit_json(tmp_path, GOOD)
    sentence = verdict(parse(found)).plain
    match = re.fullmatch(
        rf"(\d+) Unknown facts trained: {PERCENT} answered right afterwards "
        rf"\(95\u202f% interval {PERCENT} to {PERCENT}\), {PERCENT} through wordings it never saw; "
        rf"cost: {PERCENT} of the (\d+) facts not in the mix got worse, {PERCENT} better; "
        r"KL to the base ([\d.]+) nats a token\.",
        sentence,
    )
    assert match, sentence
    rel, others = found["reliability"], found["facts"] - found["trained"] - found["rehearsed"]
    shifts = found["shifts"]["untrained"]
    shares = [rel["mean"], rel["low"], rel["high"], found["generality"]["mean"]]
    expected = [
        str(found["trained"]),
        *(f"{100 * share:.1f}" for share in shares),
        f"{100 * shifts['negative']['of_all']:.1f}",
        str(others),
        f"{100 * shifts['positive']['of_all']:.1f}",
        f"{found['neutral']['kl']:#.3g}",
    ]
    assert list(match.groups()) == expected


@pytest.mark.parametrize("shape", [GOOD, FORGETFUL, COLLAPSED, NOTHING, BARE])
def test_it_is_one_sentence(tmp_path: Path, shape: Shape) -> None:
    said = verdict(parse(audit_json(tmp_path, shape)))
    assert said.plain.endswith(".")
    assert ". " not in said.plain
    assert said.sentence.count("**") % 2 == 0


def test_a_good_run_has_no_cautions(tmp_path: Path) -> None:
    said = verdict(parse(audit_json(tmp_path, GOOD)))
    assert (said.status, said.label, said.cautions) == ("good", "Learned at little cost", ())


def test_forgetting_and_drift_are_called_by_their_names(tmp_path: Path) -> None:
    audit = parse(audit_json(tmp_path, FORGETFUL))
    said = verdict(audit)
    assert said.status == "mixed"
    assert names(audit) == {"Forgetting", "Drift", "Learned by wording"}
    count = audit.shifts.untrained.negative.count
    assert f"{count} of {audit.others} facts not in the mix" in said.cautions[0].text


def test_a_collapse_stands_in_the_sentence_and_names_the_answer(tmp_path: Path) -> None:
    found = audit_json(tmp_path, COLLAPSED)
    said = verdict(parse(found))
    assert said.status == "bad"
    assert "its answers collapsed" in said.plain
    answers = found["answers"]
    assert f"{answers['distinct_after']} distinct answers where the base gave" in said.plain
    (answer, times, _), *_ = answers["collapsed_answers"]
    assert f"“{answer}” is now a wrong answer {times:,} times" in said.cautions[0].text


def test_facts_that_did_not_go_in_are_not_called_learned(tmp_path: Path) -> None:
    said = verdict(parse(audit_json(tmp_path, Shape(learned=0.3))))
    assert said.status == "bad"
    assert ": only " in said.plain
    assert "Not learned" in said.label


def test_nothing_trained_is_said_first(tmp_path: Path) -> None:
    audit = parse(audit_json(tmp_path, NOTHING))
    said = verdict(audit)
    assert said.plain.startswith("No fact was trained; cost: ")
    assert f"of the {audit.facts} facts got worse" in said.plain
    assert said.status == "bad"
    assert names(audit) == {"Nothing trained"}


def test_what_was_not_measured_is_said_not_to_be(tmp_path: Path) -> None:
    said = verdict(parse(audit_json(tmp_path, BARE))).plain
    assert "unseen wordings not measured" in said
    assert "KL to the base not measured" in said


def test_trained_facts_that_were_not_unknown_are_not_called_unknown(tmp_path: Path) -> None:
    found = audit_json(tmp_path, GOOD)
    row = found["transitions"]["trained"][3]
    moved = next(column for column in range(4) if row[column])
    for name in ("trained", "all"):
        found["transitions"][name][3][moved] -= 1
        found["transitions"][name][1][moved] += 1
    assert verdict(parse(found)).plain.startswith(f"{found['trained']} facts trained: ")


def test_no_other_facts_means_no_cost_was_measured(tmp_path: Path) -> None:
    found = audit_json(tmp_path, Shape(facts=60, trained=8))
    found["transitions"]["untrained"] = [[0] * 4] * 4
    found["transitions"]["all"] = found["transitions"]["trained"]
    said = verdict(parse(found))
    assert "every fact was in the mix, so no spill-over was measured" in said.plain
    assert said.status != "good"


def test_trained_facts_that_were_not_asked_prove_nothing(tmp_path: Path) -> None:
    found = audit_json(tmp_path, GOOD) | {"reliability": None}
    said = verdict(parse(found))
    assert "whether they are answered right was not measured" in said.plain
    assert said.status != "good"


def test_the_summary_says_the_same_without_marks(good: Path) -> None:
    short = summary(good)
    found = json.loads((good / "audit" / "audit.json").read_text())
    assert short.sentence == verdict(parse(found)).plain
    assert "**" not in short.sentence
    table = short.tables[0]
    assert (table.columns[1], table.rows[0][0]) == ("HighlyKnown", "All, before")
    assert table.rows[0][1].startswith(str(found["categories"]["before"]["HighlyKnown"]) + " (")
    assert all(len(row) == len(t.columns) for t in short.tables for row in t.rows)


def test_the_sets_of_every_table_add_up_to_all_facts(good: Path) -> None:
    known, _, shifts, _ = summary(good).tables
    for when in ("before", "after"):
        whole, *parts = ([int(cell.split(" ")[0]) for cell in row[1:]] for row in known.rows
                         if row[0].endswith(when))  # fmt: skip
        assert whole[-1] == 612
        assert [sum(column) for column in zip(*parts, strict=True)] == whole
    for word in ("better", "worse"):
        rows = [row[1].split(" of ") for row in shifts.rows if row[0].endswith(word)]
        (moved, whole), *parts = [(int(n), int(of)) for n, of in rows]
        assert len(parts) == 3
        assert (sum(n for n, _ in parts), sum(of for _, of in parts)) == (moved, whole)


def test_rehearsed_facts_are_a_row_only_where_there_are_any(good: Path, tmp_path: Path) -> None:
    name = "Rehearsed (known facts in the mix)"
    without = sample_run.write_run(tmp_path / "run", Shape(facts=60, trained=8))
    for run, there in ((good, True), (without, False)):
        assert any(name in row[0] for t in summary(run).tables for row in t.rows) == there


def test_the_summary_reads_an_audit_that_stands_alone(good: Path) -> None:
    assert summary(good / "audit") == summary(good)


@given(st.integers(0, 10**7), st.integers(1, 10**7))
def test_only_none_is_0_and_only_all_is_100_percent(part: int, whole: int) -> None:
    share = min(part, whole) / whole
    text = fig.percent(share).removesuffix("\u202f%")
    assert (text == "0") == (share == 0)
    assert (text == "100") == (share == 1)
    if text[0] not in "<>":
        assert abs(float(text) - 100 * share) <= 0.0501
        assert text not in ("0.0", "100.0")


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.03127, "0.0313"), (1.996, "2.00"), (12.418, "12.4"), (999.4, "999"), (999.6, "1,000"),
     (123456.7, "123,457"), (0.0, "0")],
)  # fmt: skip
def test_real_numbers_have_three_digits(number: float, text: str) -> None:
    assert fig.real(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.02, "<0.1 s"), (4.25, "4.2 s"), (185.4, "3 min 05 s"), (7650.0, "2 h 07 min")],
)
def test_durations_are_read_at_a_glance(seconds: float, text: str) -> None:
    assert fig.duration(seconds).replace("\u202f", " ") == text
