"""PaperQA and NarrativeQA: documents as passages, questions as facts."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lorepack.errors import InputError
from lorepack.facts import Fact

from .published_files import DATA, SAMPLES, imported, needs_data, write_sample

FOLDER = DATA / "lora-as-knowledge-memory"


@needs_data
class TestRealFiles:
    def test_papers(self, tmp_path: Path) -> None:
        done = imported(FOLDER / "paperQA.json", "paperqa", tmp_path)
        assert done.numbers == (450, 450, 15, {})
        levels = Counter(fact.split for fact in done.facts)
        assert levels == dict.fromkeys(("level-1", "level-2", "level-3"), 150)
        assert {fact.source for fact in done.facts} == {f"paperqa/{n}" for n in range(15)}
        titles = {f"paperqa/{passage.document}": passage.title for passage in done.passages}
        assert all(fact.subject == titles[fact.source or ""] for fact in done.facts)

    def test_training_questions(self, tmp_path: Path) -> None:
        done = imported(FOLDER / "paperqa_train_qa40.jsonl", "paperqa", tmp_path)
        assert done.numbers == (600, 600, 0, {})
        assert Counter(fact.source for fact in done.facts) == {
            f"paperqa/{n}": 40 for n in range(15)
        }
        assert done.facts[0].question.startswith("In the Paper ID 0, What are diffusion models")

    def test_introductions_are_cut_apart_and_nothing_is_lost(self, tmp_path: Path) -> None:
        done = imported(FOLDER / "paperqa_introductions.jsonl", "paperqa", tmp_path)
        assert done.numbers == (1, 0, 15, {})
        assert [passage.document for passage in done.passages] == [str(n) for n in range(15)]
        whole = json.loads((FOLDER / "paperqa_introductions.jsonl").read_text())["text"]
        joined = "".join(passage.text for passage in done.passages)
        assert "".join(joined.split()) == "".join(whole.split())

    def test_narratives(self, tmp_path: Path) -> None:
        done = imported(FOLDER / "narrativeqa_10-20k.jsonl", "narrativeqa", tmp_path)
        assert done.numbers == (35, 0, 70, {})
        assert Counter(passage.title for passage in done.passages) == {None: 35, "Summary": 35}
        assert len({passage.document for passage in done.passages}) == 35
        row = json.loads((FOLDER / "narrativeqa_10-20k.jsonl").read_text().splitlines()[0])
        assert done.passages[0].text == row["normalized_text"]


class TestPaperQA:
    def test_levels_and_introductions(self, tmp_path: Path) -> None:
        done = imported(write_sample("paperqa", tmp_path), "paperqa", tmp_path)
        assert done.facts[1] == Fact(
            "Why slow?", "It does not say.", subject="On Tides", split="level-3", source="paperqa/0"
        )
        assert [(p.document, p.text) for p in done.passages] == [
            ("0", "Tides are slow. They come twice a day.")
        ]

    def test_broken_papers(self, tmp_path: Path) -> None:
        paper = SAMPLES["paperqa"][1][0]
        broken = [
            {**paper, "introduction": " ", "QA": [None, "x", *paper["QA"]]},
            {**paper, "QA": []},
            {**paper, "QA": 3},
            [{"QA": []}],
        ]
        done = imported(write_sample("paperqa", tmp_path, broken), "paperqa", tmp_path)
        assert done.numbers == (7, 2, 1, {"no_answer": 2, "schema_json": 2})
        assert "no text" in done.rejected[0]["message"]  # the row's question and its document

    def test_a_text_without_papers(self, tmp_path: Path) -> None:
        file = tmp_path / "introductions.jsonl"
        rows = [{"text": "This paper 0 discusses:\n\nTides."}, {"text": "Nothing."}, {"text": 3}]
        file.write_text("\n".join(map(json.dumps, rows)))
        done = imported(file, "paperqa", tmp_path)
        assert done.numbers == (3, 0, 1, {"no_paper": 2})


class TestNarrativeQA:
    CSV = (
        "document_id,set,question,answer1,answer2,question_tokenized\n"
        'd1,train,"Who, then?",A mayor,The mayor,who\n'
        "d1,train,Where?,At sea,At sea,where\n"
        "d9,test,Who else?,Nobody,No one,who\n"
        "d1,train,Why?,,,why\n"
    )
    DOCUMENTS = (
        '{"doc_id": "d1", "token_count": 7, "summary": "S.", "normalized_text": "Once a mayor."}\n'
        '{"doc_id": "d2"}\n'
        "{broken\n"
    )

    def test_the_rows_of_the_hub(self, tmp_path: Path) -> None:
        row = SAMPLES["narrativeqa"][1][0]
        more = {**row, "question": {"text": "And then?", "tokens": []}}
        for file in ("train.jsonl", "train-00000.parquet"):
            path = tmp_path / file
            if path.suffix == ".jsonl":
                path.write_text("".join(json.dumps(x) + "\n" for x in (row, more)))
            else:
                pq.write_table(pa.Table.from_pylist([row, more]), path)
            done = imported(path, "narrativeqa", tmp_path)
            assert done.facts[0] == Fact(
                "Who is there?",
                "A mayor",
                aliases=("The mayor",),
                subject="The Mayor",
                domain="gutenberg",
                split="train",
                source="narrativeqa/d1",
            )
            assert len(done.facts) == 2
            assert [(p.document, p.title, p.text) for p in done.passages] == [
                ("d1", "The Mayor", "Once there was a mayor. The end.")
            ]

    def test_published_questions_joined_with_documents(self, tmp_path: Path) -> None:
        questions, documents = tmp_path / "qaps.csv", tmp_path / "documents.jsonl"
        questions.write_text(self.CSV)
        documents.write_text(self.DOCUMENTS)
        done = imported(questions, "narrativeqa", tmp_path, articles=documents)
        assert [(f.question, f.accepted, f.split) for f in done.facts] == [
            ("Who, then?", ("A mayor", "The mayor"), "train"),
            ("Where?", ("At sea",), "train"),
        ]
        assert [(p.document, p.text) for p in done.passages] == [("d1", "Once a mayor.")]
        assert [(row["file"], row["line"], row["reason"]) for row in done.rejected] == [
            (str(documents), 2, "schema_missing"),
            (str(documents), 3, "schema_json"),
            (str(questions), 4, "no_article"),
            (str(questions), 5, "no_answer"),
        ]

    def test_published_questions_alone(self, tmp_path: Path) -> None:
        questions = tmp_path / "qaps.csv"
        questions.write_text(self.CSV)
        done = imported(questions, "narrativeqa", tmp_path)
        assert done.numbers == (4, 3, 0, {"no_answer": 1})

    def test_documents_are_the_articles_and_not_the_source(self, tmp_path: Path) -> None:
        questions, documents = tmp_path / "qaps.csv", tmp_path / "documents.jsonl"
        questions.write_text(self.CSV)
        documents.write_text(self.DOCUMENTS.splitlines()[0])
        with pytest.raises(InputError, match="give the questions as the source"):
            imported(documents, "narrativeqa", tmp_path, articles=documents)
