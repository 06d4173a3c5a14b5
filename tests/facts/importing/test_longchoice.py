"""QuALITY, ∞Bench, LongBench v2: the answer is the text of the right option."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorepack.facts import Fact

from .published_files import SAMPLES, imported, write_sample


class TestQuality:
    def test_the_published_layout(self, tmp_path: Path) -> None:
        done = imported(write_sample("quality", tmp_path), "quality", tmp_path)
        assert done.facts == [
            Fact(
                question,
                answer,
                subject="The Moon Ship",
                domain="Science fiction",
                split="dev",
                source="quality/52845",
            )
            for question, answer in (("What did it do?", "It flew"), ("And then?", "Nothing"))
        ]
        assert [(p.document, p.title, len(p.text)) for p in done.passages] == [
            ("52845", "The Moon Ship", 81_000)
        ]

    def test_an_article_on_two_lines_is_one_passage(self, tmp_path: Path) -> None:
        row = SAMPLES["quality"][1][0]
        more = {**row, "questions": [{**row["questions"][0], "question": "Really?"}]}
        done = imported(write_sample("quality", tmp_path, [row, more]), "quality", tmp_path)
        assert done.numbers == (3, 3, 1, {})

    @pytest.mark.parametrize(
        ("label", "reason"),
        [(None, "no_answer"), (0, "no_answer"), (5, "no_answer"), (True, "no_answer")],
    )
    def test_without_a_right_option(self, tmp_path: Path, label: object, reason: str) -> None:
        row = SAMPLES["quality"][1][0]
        bad = [{**row["questions"][0], "gold_label": label}, None, row["questions"][1]]
        file = write_sample("quality", tmp_path, [{**row, "questions": bad}])
        done = imported(file, "quality", tmp_path)
        assert done.numbers == (3, 1, 1, {reason: 2})
        assert len(done.passages) == 1  # though its first question is broken


class TestInfiniteBench:
    def test_the_letter_of_an_option_is_no_alias(self, tmp_path: Path) -> None:
        done = imported(write_sample("infinitebench", tmp_path), "infinitebench", tmp_path)
        assert [(fact.accepted, fact.split) for fact in done.facts] == [
            (("Ida Voss",), "longbook_choice_eng"),
            (("Al Kay",), "longbook_choice_eng"),
        ]
        assert len(done.passages) == 1
        assert {fact.source for fact in done.facts} == {
            f"infinitebench/{done.passages[0].document}"
        }

    @pytest.mark.parametrize(
        ("row", "outcome"),
        [
            ({"answer": ["71432"], "options": []}, ("71432",)),
            ({"answer": [5], "options": []}, ("5",)),
            ({"answer": "C", "options": ["x", "y", "z"]}, ("z",)),
            ({"answer": ["JANE", "JANE DOE"], "options": []}, ("JANE", "JANE DOE")),
            ({"answer": [1, 2, 3], "options": []}, "schema_type"),
            ({"answer": ["w"], "options": ["x", "y"]}, "no_answer"),
            ({"answer": ["A summary."], "options": [], "input": ""}, "no_question"),
            ({"answer": None, "options": []}, "no_answer"),
        ],
    )
    def test_tasks(self, tmp_path: Path, row: dict[str, object], outcome: object) -> None:
        rows = [{"id": 0, "context": "Long.", "input": "Which?", **row}]
        done = imported(write_sample("infinitebench", tmp_path, rows), "infinitebench", tmp_path)
        assert len(done.passages) == 1
        if isinstance(outcome, tuple):
            assert [fact.accepted for fact in done.facts] == [outcome]
        else:
            assert done.report.rejected == {outcome: 1}


class TestLongBench:
    def test_the_published_layout(self, tmp_path: Path) -> None:
        done = imported(write_sample("longbench2", tmp_path), "longbench2", tmp_path)
        assert done.facts == [
            Fact(
                "Which holds?",
                "The third",
                domain="Single-Document QA / Academic",
                split="hard",
                source="longbench2/66f3",
            )
        ]
        assert [passage.document for passage in done.passages] == ["66f3"]

    def test_no_letter(self, tmp_path: Path) -> None:
        row = SAMPLES["longbench2"][1][0]
        broken = [{**row, "answer": "E"}, {**row, "answer": ["A"]}, {**row, "choice_C": None}, 5]
        done = imported(write_sample("longbench2", tmp_path, broken), "longbench2", tmp_path)
        assert done.report.rejected == {"no_answer": 3, "repeat": 2, "schema_json": 1}

    def test_lines_are_read_as_well(self, tmp_path: Path) -> None:
        file = tmp_path / "data.jsonl"
        file.write_text(json.dumps(SAMPLES["longbench2"][1][0]) + "\n")
        assert imported(file, "longbench2", tmp_path).numbers == (1, 1, 1, {})
