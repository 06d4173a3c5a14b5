"""SQuAD, RetrievalQA, StreamingQA: questions with the passages that answer them."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lorepack.errors import InputError, NotFoundError
from lorepack.facts import Fact
from lorepack.facts.importing import Options, named
from lorepack.facts.importing.stored import Stored
from lorepack.text import Matcher

from .published_files import (
    DATA,
    NEWS,
    SAMPLES,
    imported,
    needs_data,
    news_id,
    news_line,
    write_sample,
)


@needs_data
class TestRealFiles:
    def test_squad_layout(self, tmp_path: Path) -> None:
        done = imported(DATA / "open-qa/xquad_en.json", "squad", tmp_path)
        assert done.numbers == (1_190, 1_187, 240, {"repeat": 3})
        assert done.facts[0] == Fact(
            "How many points did the Panthers defense surrender?",
            "308",
            subject="Super Bowl 50",
            source="squad/Super_Bowl_50/1",
        )
        assert len({passage.title for passage in done.passages}) == 48
        texts = {f"squad/{passage.document}": passage.text for passage in done.passages}
        assert all(fact.answer in texts[fact.source or ""] for fact in done.facts)

    def test_retrievalqa(self, tmp_path: Path) -> None:
        done = imported(DATA / "open-qa/retrievalqa.jsonl", "retrievalqa", tmp_path)
        assert done.numbers == (250, 250, 3_378, {})
        assert done.report.counts == {
            "oracle_passages": 401,
            "passages_found_twice": 6,
            "passages_without_text": 90,
            "questions_without_oracle": 101,
        }
        rows = (DATA / "open-qa/retrievalqa.jsonl").read_text().splitlines()
        results = sum(len(json.loads(row)["context"]) for row in rows)
        assert results == 3_378 + 6 + 90
        assert Counter(fact.split for fact in done.facts) == dict.fromkeys(
            ("realtimeqa", "freshqa", "toolqa", "popqa", "triviaqa"), 50
        )
        # An oracle is found again: the source of its fact is its document.
        holds = {fact.source: Matcher(fact.accepted) for fact in done.facts}
        oracles = [p for p in done.passages if holds[f"retrievalqa/{p.document}"](p.text)]
        assert len(oracles) == 401
        assert len({p.document for p in oracles}) == 250 - 101


class TestSquad:
    FACT = Fact(
        "Where was she born?",
        "Houston",
        aliases=("in Houston",),
        subject="Beyoncé Knowles",
        split="dev",
        source="squad/Beyonc%C3%A9_Knowles/1",
    )

    def test_version_2(self, tmp_path: Path) -> None:
        done = imported(write_sample("squad", tmp_path), "squad", tmp_path)
        assert done.facts == [self.FACT]
        assert [(p.title, p.document, p.text) for p in done.passages] == [
            ("Beyoncé Knowles", "Beyonc%C3%A9_Knowles/1", "Beyoncé was born in Houston in 1981."),
            ("Beyoncé Knowles", "Beyonc%C3%A9_Knowles/2", "A paragraph that nobody asked about."),
        ]
        assert [(row["line"], row["reason"]) for row in done.rejected] == [(2, "unanswerable")]

    def test_impossible_whatever_stands_as_its_answer(self, tmp_path: Path) -> None:
        answers = [{"text": "Houston", "answer_start": 0}]
        qas = [{"question": "Q?", "answers": answers, "is_impossible": flag} for flag in (True, 0)]
        data = {"data": [{"title": "T", "paragraphs": [{"context": "Houston.", "qas": qas}]}]}
        done = imported(write_sample("squad", tmp_path, data), "squad", tmp_path)
        assert done.numbers == (2, 1, 1, {"unanswerable": 1})

    def test_the_rows_of_the_hub_give_the_same(self, tmp_path: Path) -> None:
        row = {
            "id": "a",
            "title": "Beyonc%C3%A9_Knowles",
            "context": "Beyoncé was born in Houston in 1981.",
            "question": "Where was she born?",
            "answers": {"text": ["Houston", "in Houston"], "answer_start": [20, 17]},
        }
        none = {**row, "question": "Who died?", "answers": {"text": [], "answer_start": []}}
        file = tmp_path / "dev-00000.parquet"
        pq.write_table(pa.Table.from_pylist([row, none, {**row, "question": "And where?"}]), file)
        done = imported(file, "squad", tmp_path)
        assert done.facts[0] == self.FACT
        assert done.numbers == (3, 2, 1, {"unanswerable": 1})

    def test_a_question_is_kept_when_its_paragraph_is_broken(self, tmp_path: Path) -> None:
        qas = [{"question": "Q?", "answers": [{"text": "A", "answer_start": 0}]}, None, 7]
        broken = [{"context": None, "qas": qas}, {"context": "x"}, "y"]
        data = [{"title": "T", "paragraphs": broken}, {"title": "U", "paragraphs": []}, 3]
        done = imported(write_sample("squad", tmp_path, {"data": data}), "squad", tmp_path)
        assert [fact.accepted for fact in done.facts] == [("A",)]
        assert Counter(row["reason"] for row in done.rejected) == {
            "no_text": 1,  # the paragraph of the question that was kept
            "no_answer": 1,  # null among the questions
            "schema_json": 5,
        }


class TestRetrievalQA:
    def test_texts_in_every_spelling(self, tmp_path: Path) -> None:
        done = imported(write_sample("retrievalqa", tmp_path), "retrievalqa", tmp_path)
        assert [(p.title, p.text, p.document) for p in done.passages] == [
            ("Bed", "About 15% of them.", "realtimeqa_1"),
            (None, "A plain text without an answer, 150% sure.", "realtimeqa_1"),
            ("Sheet", "Fully 15 % of them.", "realtimeqa_1"),
            ("T", "Jane, not Austen.", "popqa_7"),
        ]
        assert done.report.counts == {
            "oracle_passages": 2,  # 150% is another number
            "passages_without_text": 1,
            "questions_without_oracle": 1,
        }
        assert [fact.source for fact in done.facts] == [
            "retrievalqa/realtimeqa_1",
            "retrievalqa/popqa_7",  # without an oracle, and kept
        ]

    def test_one_part(self, tmp_path: Path) -> None:
        file = write_sample("retrievalqa", tmp_path)
        done = imported(file, "retrievalqa", tmp_path, split="popqa")
        assert [fact.split for fact in done.facts] == ["popqa"]

    def test_passages_stay_when_the_question_is_broken(self, tmp_path: Path) -> None:
        row = {**SAMPLES["retrievalqa"][1][0], "ground_truth": []}
        lost = {**SAMPLES["retrievalqa"][1][1], "context": None}
        file = write_sample("retrievalqa", tmp_path, [row, lost])
        done = imported(file, "retrievalqa", tmp_path)
        assert done.numbers == (2, 1, 3, {"no_answer": 1, "schema_type": 1})


class TestStreamingQA:
    @pytest.fixture
    def articles(self, tmp_path: Path) -> Path:
        file = tmp_path / "news-docs.2020.en.filtered.gz"
        file.write_bytes(gzip.compress(NEWS))
        return file

    def test_alone_it_gives_facts(self, tmp_path: Path) -> None:
        done = imported(write_sample("streamingqa", tmp_path), "streamingqa", tmp_path)
        assert done.numbers == (3, 3, 0, {})
        assert [fact.accepted for fact in done.facts] == [
            ("Ida Voss", "Voss"),
            ("Ida Voss",),
            ("Nothing",),
        ]
        assert [fact.split for fact in done.facts] == ["eval-recent", "eval-past", "eval-past"]

    def test_joined_with_news(self, tmp_path: Path, articles: Path) -> None:
        file = write_sample("streamingqa", tmp_path)
        done = imported(file, "streamingqa", tmp_path, articles=articles)
        assert done.numbers == (3, 2, 1, {"no_article": 1})
        passage = done.passages[0]
        assert (passage.text, passage.date, passage.source) == (
            "A mayor was elected.\nHer name is Ida Voss.",
            "2020-06-14",
            "streamingqa",
        )
        assert {fact.source for fact in done.facts} == {f"streamingqa/{passage.document}"}

    def test_the_published_key_of_an_article(self, tmp_path: Path, articles: Path) -> None:
        # The hash is the one that the data set's own extraction gives for this article.
        digest = "1d377af8d421d226f274f12d31d4cc15e7c6f85e2e1eb2530e19b123d019d776"
        assert digest in news_id("20190101", "unsplit_1")
        articles.write_bytes(gzip.compress(news_line("20190101", "sentence_split_1", "unsplit_1")))
        row = {**SAMPLES["streamingqa"][1][0]}
        row["evidence_id"] = f"20190101000000000000\0\x01{digest}\0\x01"
        file = write_sample("streamingqa", tmp_path, [row])
        done = imported(file, "streamingqa", tmp_path, articles=articles)
        assert done.passages[0].text == "sentence_split_1"
        assert done.passages[0].document == f"2019-01-01-{digest}"

    def test_only_articles_that_are_asked_about_are_kept(
        self, tmp_path: Path, articles: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept: list[str] = []
        monkeypatch.setattr(Stored, "put", lambda store, name, value: kept.append(name))
        file = write_sample("streamingqa", tmp_path)
        list(named("streamingqa").rows(file, Options(articles=articles)))
        assert [name[:10] for name in kept] == ["2020-06-14"]

    def test_a_folder_of_news(self, tmp_path: Path, articles: Path) -> None:
        file = write_sample("streamingqa", tmp_path)
        done = imported(file, "streamingqa", tmp_path, articles=articles.parent)
        assert done.numbers == (3, 2, 1, {"no_article": 1})

    def test_dates_are_those_of_the_articles(self, tmp_path: Path, articles: Path) -> None:
        file = write_sample("streamingqa", tmp_path)
        done = imported(file, "streamingqa", tmp_path, since="2020", until="2020-06")
        assert done.report.counts == {"outside_dates": 1}
        assert len(done.facts) == 2
        with pytest.raises(InputError, match=r"--since '2020-13' is no date"):
            imported(file, "streamingqa", tmp_path, since="2020-13")

    def test_broken_articles_are_rejected_too(self, tmp_path: Path, articles: Path) -> None:
        good = NEWS.splitlines(keepends=True)[1]
        day, _, unsplit = good.split(b"\t")
        articles.write_bytes(
            gzip.compress(
                b"one cell\n" + b"20201340\tAA==\tAA==\n" + day + b"\t%%\t" + unsplit + good
            )
        )
        file = write_sample("streamingqa", tmp_path)
        done = imported(file, "streamingqa", tmp_path, articles=articles)
        assert [(row["line"], row["reason"]) for row in done.rejected] == [
            (1, "schema_cells"),
            (2, "schema_date"),
            (3, "schema_base64"),
            (3, "no_article"),
        ]
        assert len(done.passages) == 1

    def test_articles_that_break_off_or_are_missing(self, tmp_path: Path, articles: Path) -> None:
        file = write_sample("streamingqa", tmp_path)
        articles.write_bytes(gzip.compress(NEWS * 999)[:-20])
        with pytest.raises(InputError, match="compressed data is broken"):
            imported(file, "streamingqa", tmp_path, articles=articles)
        with pytest.raises(NotFoundError, match="no such file"):
            imported(file, "streamingqa", tmp_path, articles=tmp_path / "none.gz")
