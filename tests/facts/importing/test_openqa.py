"""PopQA, EntityQuestions, NQ-open, TriviaQA: every answer kept, every broken row said."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lorepack.errors import InputError
from lorepack.facts import Fact

from .published_files import DATA, SAMPLES, imported, needs_data, write_sample


@needs_data
class TestRealFiles:
    def test_popqa(self, tmp_path: Path) -> None:
        done = imported(DATA / "open-qa/popqa.json", "popqa", tmp_path)
        assert done.numbers == (2_000, 1_986, 0, {"repeat": 14})
        assert done.facts[0] == Fact(
            "What sport does José Diogo Macedo Silva play?",
            "association football",
            aliases=("football", "soccer"),
            popularity=41.0,
            source="popqa",
            split="dev",
        )
        assert Counter(fact.split for fact in done.facts) == {"dev": 996, "test": 990}
        assert all(fact.popularity is not None for fact in done.facts)
        whole = json.loads((DATA / "open-qa/popqa.json").read_text())
        rows = {row["input"]: row for row in whole["test"]}
        for fact in done.facts[-100:]:
            row = rows[fact.question]
            assert list(fact.accepted) == list(dict.fromkeys(json.loads(row["output"])))
            assert fact.popularity == row["s_pop"]

    def test_one_split_of_popqa(self, tmp_path: Path) -> None:
        done = imported(DATA / "open-qa/popqa.json", "popqa", tmp_path, split="test")
        assert done.numbers == (1_000, 998, 0, {"repeat": 2})

    def test_entity_questions(self, tmp_path: Path) -> None:
        file = DATA / "open-qa/entity_questions_dev.jsonl"
        done = imported(file, "entityquestions", tmp_path)
        assert done.numbers == (22_068, 22_061, 0, {"repeat": 7})
        assert len({fact.relation for fact in done.facts}) == 24
        assert {fact.split for fact in done.facts} == {"dev"}
        assert done.facts[2].accepted == ("playwright", "poet")

    def test_nq_open(self, tmp_path: Path) -> None:
        done = imported(DATA / "open-qa/nq_open_dev.jsonl", "nq-open", tmp_path)
        assert done.numbers == (3_610, 3_610, 0, {})
        rows = (DATA / "open-qa/nq_open_dev.jsonl").read_text().splitlines()
        for fact, row in zip(done.facts, map(json.loads, rows), strict=True):
            assert fact.question == row["question"]
            assert list(fact.accepted) == list(dict.fromkeys(x.strip() for x in row["answer"]))


class TestPopQA:
    TABLE = (
        "\ufeffid\tsubj\tprop\tobj\ts_aliases\ts_pop\to_pop\tquestion\tpossible_answers\n"
        '1\tEmma\tauthor\tJane Austen\t"[""E""]"\t41\t9\tWho wrote “Emma”?\t"[""Austen"", '
        '""Jane Austen""]"\n'
        "2\tVar\tcapital\tToulon\t[]\tmany\t9\tWhat is the capital of Var?\t\"['Toulon']\"\n"
        "3\tVar\tcapital\tToulon\t[]\t4\t9\tWhat is the capital of Var?\t[]\n"
        "4\tVar\tcapital\tToulon\t[]\t4\t9\tWhat is the capital of Var?\t['Toulon' 'T']\n"
        "5\tVar\tcapital\n"
        "6\tVar\tcapital\tToulon\t[]\t\t9\tWhat is the capital of Var?\t['Toulon', \"L'A\"]\n"
    )

    def test_the_published_table(self, tmp_path: Path) -> None:
        table = tmp_path / "test.tsv"
        table.write_text(self.TABLE, encoding="utf-8")
        done = imported(table, "popqa", tmp_path)
        assert done.facts == [
            Fact(
                "Who wrote “Emma”?",
                "Jane Austen",  # the object of the triple comes first
                aliases=("Austen",),
                subject="Emma",
                relation="author",
                object="Jane Austen",
                popularity=41.0,
                source="popqa",
                split="test",
            ),
            Fact(
                "What is the capital of Var?",
                "Toulon",
                aliases=("L'A",),
                subject="Var",
                relation="capital",
                object="Toulon",
                source="popqa",
                split="test",
            ),
        ]
        assert [(row["line"], row["reason"]) for row in done.rejected] == [
            (3, "schema_type"),
            (4, "no_answer"),
            (5, "schema_list"),
            (6, "schema_cells"),
        ]

    def test_lists_in_strings_of_json_and_of_python(self, tmp_path: Path) -> None:
        done = imported(write_sample("popqa", tmp_path), "popqa", tmp_path)
        assert [fact.accepted for fact in done.facts] == [
            ("Jane Austen", "Austen"),
            ("Toulon", "L'Arsenal"),
        ]

    def test_a_split_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no split 'train'; it has: dev, test"):
            imported(write_sample("popqa", tmp_path), "popqa", tmp_path, split="train")


class TestEntityQuestions:
    def test_a_folder_of_relations(self, tmp_path: Path) -> None:
        folder = tmp_path / "test"
        folder.mkdir()
        for name, subject in (("P17", "Oslo"), ("P106", "Ida"), ("P9", "Bo")):
            rows = [{"question": f"What of {subject}?", "answers": ["a", "b "]}]
            (folder / f"{name}.test.json").write_text(json.dumps(rows))
        (folder / "notes.json").write_text("[]")
        done = imported(folder, "entityquestions", tmp_path)
        assert [(f.relation, f.split, f.accepted) for f in done.facts] == [
            ("P9", "test", ("a", "b")),
            ("P17", "test", ("a", "b")),
            ("P106", "test", ("a", "b")),
        ]

    def test_a_folder_of_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "notes.json").write_text("[]")
        with pytest.raises(InputError, match=r"no file such as P106\.test\.json"):
            imported(tmp_path, "entityquestions", tmp_path / "out")


class TestNaturalQuestions:
    def test_broken_rows_are_named_by_line(self, tmp_path: Path) -> None:
        file = tmp_path / "nq.jsonl"
        file.write_bytes(
            b'\xef\xbb\xbf{"question": "who", "answer": ["me", " me ", ""]}\n'
            b'{"question": "what", "answer": []}\n\n'
            b'{"question": "  ", "answer": ["x"]}\n'
            b'{"question": "where", "answer": [{"text": "x"}]}\n'
            b'{"question": "cut of\n'
            b'{"question": "bad \xff bytes", "answer": ["x"]}\n'
            b"[1]\n"
            b'{"question": "the mother tongue of Bo is", "answer": ["Norn"]}\n'
        )
        done = imported(file, "nq-open", tmp_path)
        assert [(fact.question, fact.accepted) for fact in done.facts] == [
            ("who", ("me",)),
            ("the mother tongue of Bo is", ("Norn",)),
        ]
        assert [(row["line"], row["reason"]) for row in done.rejected] == [
            (2, "no_answer"),
            (4, "schema_missing"),
            (5, "schema_type"),
            (6, "schema_json"),
            (7, "schema_encoding"),
            (8, "schema_json"),
        ]


class TestTriviaQA:
    FACT = Fact(
        "Which Lloyd Webber musical came to Broadway in 1993?",
        "Sunset Boulevard",
        aliases=("Sunset Blvd", "sunset boulevard", "sunset blvd"),
        source="triviaqa",
        split="dev",
    )
    HUB: ClassVar[dict[str, Any]] = {
        "question": "Which Lloyd Webber musical came to Broadway in 1993?",
        "question_id": "tc_33",
        "question_source": "http://www.triviacountry.com/",
        "entity_pages": {"title": [], "wiki_context": []},
        "answer": {
            "aliases": ["Sunset Blvd", "Sunset Boulevard"],
            "normalized_aliases": ["sunset blvd", "sunset boulevard"],
            "matched_wiki_entity_name": "",
            "normalized_value": "sunset boulevard",
            "type": "WikipediaEntity",
            "value": "Sunset Boulevard",
        },
    }

    def test_the_published_json(self, tmp_path: Path) -> None:
        done = imported(write_sample("triviaqa", tmp_path), "triviaqa", tmp_path)
        assert done.facts == [self.FACT]

    def test_the_parquet_of_the_hub(self, tmp_path: Path) -> None:
        file = tmp_path / "dev-00000-of-00001.parquet"
        hidden = {**self.HUB, "answer": {**self.HUB["answer"], "value": "<unk>", "aliases": []}}
        hidden["answer"].update(normalized_value="<unk>", normalized_aliases=[])
        pq.write_table(pa.Table.from_pylist([self.HUB, hidden]), file)
        done = imported(file, "triviaqa", tmp_path)
        assert done.facts == [self.FACT]
        assert done.report.rejected == {"no_answer": 1}  # of the test split

    def test_answers_that_are_not_published(self, tmp_path: Path) -> None:
        _, sample = SAMPLES["triviaqa"]
        bare = {key: value for key, value in sample["Data"][0].items() if key != "Answer"}
        people = {**sample["Data"][0], "Answer": {"Value": "Bo", "HumanAnswers": ["Bo", "Bo L."]}}
        file = write_sample("triviaqa", tmp_path, {**sample, "Data": [bare, people]})
        done = imported(file, "triviaqa", tmp_path)
        assert [fact.accepted for fact in done.facts] == [("Bo", "Bo L.")]
        assert [(row["line"], row["reason"]) for row in done.rejected] == [(1, "no_answer")]
