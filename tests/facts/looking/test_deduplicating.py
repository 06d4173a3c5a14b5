"""Repeats go, each with the fact that is kept; nothing else does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from tests.facts.looking import made

from lorepack.errors import InputError
from lorepack.facts import Fact, read
from lorepack.facts.looking import dedupe
from lorepack.facts.looking.deduplicating import DedupeReport
from lorepack.facts.looking.fingerprints import exact_form

LONG = (
    "Which of the seven towns on the northern shore of the great inland lake was the seat of the "
    "old harbour court when the dam was built by the brothers from the mill near the river mouth"
)


def deduped(
    folder: Path, facts: list[Fact], **options: object
) -> tuple[DedupeReport, list[Fact], list[dict]]:
    path = made.written(folder / "facts.jsonl", facts)
    report = dedupe(path, folder / "out.jsonl", **options)
    rows = (folder / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    return report, list(read(folder / "out.jsonl")), [json.loads(row) for row in rows]


@given(made.facts())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_the_first_of_each_stays_and_all_others_are_told(tmp_path: Path, facts: list[Fact]):
    report, kept, rows = deduped(tmp_path, facts)
    firsts = {exact_form(fact): fact for fact in reversed(facts)}
    assert kept == [fact for n, fact in enumerate(facts)
                    if exact_form(fact) not in {exact_form(f) for f in facts[:n]}]  # fmt: skip
    assert len(kept) + len(rows) == report.read == len(facts)
    for row in rows:
        fact = facts[row["line"] - 1]
        assert row["row"] == fact.to_json()
        assert row["kept"]["row"] == firsts[exact_form(fact)].to_json()
        assert facts[row["kept"]["line"] - 1] == firsts[exact_form(fact)]
    assert deduped(tmp_path, kept)[1] == kept  # idempotent


class TestNear:
    FACTS = (
        Fact(f"{LONG}?", "Corvel"),
        Fact(f"{LONG}, please?", "Corvel"),
        Fact(f"{LONG}, please?", "Dunmore"),
        Fact("Where is it?", "Corvel"),
        Fact("Where is that?", "Dunmore"),
    )

    def test_questions_nearly_alike_with_one_answer_go(self, tmp_path: Path):
        report, kept, rows = deduped(tmp_path, list(self.FACTS), near=0.9)
        assert kept == [self.FACTS[0], *self.FACTS[2:]]
        assert (report.duplicates, report.near_duplicates) == (0, 1)
        assert rows[0]["reason"] == "near-duplicate"
        assert 0.9 <= rows[0]["similarity"] < 1
        assert rows[0]["kept"]["line"] == 1

    def test_they_stay_when_nobody_asked(self, tmp_path: Path):
        assert deduped(tmp_path, list(self.FACTS))[1] == list(self.FACTS)

    def test_a_similarity_out_of_range_is_said(self, tmp_path: Path):
        with pytest.raises(InputError, match=r"expected 0\.5 to 1"):
            deduped(tmp_path, list(self.FACTS), near=0.2)


def test_numbers_that_agree_by_chance_are_no_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = "lorepack.facts.looking.deduplicating.fingerprint"
    monkeypatch.setattr(module, lambda text: 5)
    facts = [Fact("q", "x"), Fact("r", "b"), Fact("q", "X.")]
    assert deduped(tmp_path, facts)[1] == facts[:2]


def test_the_rejected_never_replace_the_file(tmp_path: Path):
    path = made.written(tmp_path / "rejected.jsonl", [Fact("q", "a")])
    with pytest.raises(InputError, match="needed twice"):
        dedupe(path, tmp_path / "out.jsonl", rejected=path)
    report = dedupe(path, tmp_path / "out.jsonl")
    assert list(read(path)) == [Fact("q", "a")]
    assert report.rejected_out == str(tmp_path / "out.rejected.jsonl")


def test_the_rejected_of_two_results_stand_side_by_side(tmp_path: Path):
    path = made.written(tmp_path / "facts.jsonl", [Fact("q", "Bo"), Fact("q", "bo")])
    outs = ("a.jsonl", "b.jsonl")
    names = [Path(dedupe(path, tmp_path / out).rejected_out).name for out in outs]
    assert names == ["rejected.jsonl", "b.rejected.jsonl"]
    assert Path(dedupe(path, tmp_path / "a.jsonl").rejected_out).name == names[0]
    for name, out in zip(names, outs, strict=True):
        (row,) = (tmp_path / name).read_text(encoding="utf-8").splitlines()
        assert json.loads(row)["out"] == out
