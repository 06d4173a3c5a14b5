"""Small files in the layouts in which data sets were published, and importing them in a test."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lorepack.errors import InputError
from lorepack.facts import Fact, load
from lorepack.facts.importing import ImportReport, Options, import_facts, named
from lorepack.facts.passage import Passage
from lorepack.facts.rows import RowError

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="no real data: ../shared/data is not there"
)


@dataclass(frozen=True)
class Imported:
    """What an import wrote."""

    report: ImportReport
    facts: list[Fact]
    passages: list[Passage]
    rejected: list[dict[str, Any]]

    @property
    def numbers(self) -> tuple[int, int, int, dict[str, int]]:
        """Rows read, facts, passages, and what was rejected by reason."""
        r = self.report
        return r.read, r.facts, r.passages, r.rejected


def imported(source: Path, fmt: str, folder: Path, **options: Any) -> Imported:
    """Import a file, and read back what was written: it must be what the format made."""
    out, said = folder / "out" / "facts.jsonl", Options(**options)
    report = import_facts(source, out, fmt=fmt, options=said)
    assert report.broken is None
    form = named(fmt)
    file = out if form.yields == "passages" else report.passages_out
    passages = [Passage(**row) for row in json_lines(file)] if file else []
    facts = load(out) if report.facts else []
    made = [item for row in made_of(fmt, source, said) for item in row]
    assert facts == unique(item for item in made if isinstance(item, Fact))
    assert passages == unique(item for item in made if isinstance(item, Passage))
    return Imported(report, facts, passages, json_lines(report.rejected_out))


def made_of(fmt: str, source: Path, options: Options) -> list[list[Any]]:
    """What each row of a file gives: items and errors; each gives at least one."""
    form, rows = named(fmt), []
    for where, raw in form.rows(source, options):
        assert where.line >= 1
        made: list[Any] = []
        if isinstance(raw, RowError):
            made.append(raw)
        else:
            try:
                for item in form.items(raw, options):
                    made.append(item)
            except RowError as error:
                made.append(error)
        assert made, f"a row was lost: {raw!r}"
        rows.append(made)
    return rows


def unique(items: Any) -> list[Any]:
    first: dict[str, Any] = {}
    for item in items:
        first.setdefault(item.id, item)
    return list(first.values())


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_sample(name: str, folder: Path, value: Any = None) -> Path:
    """The sample of a format, or another value in its container, as a file."""
    file, sample = SAMPLES[name]
    path = folder / file
    value = sample if value is None else value
    if isinstance(value, bytes):
        path.write_bytes(value)
    elif file.endswith(".json"):
        path.write_text(json.dumps(value, indent=1), encoding="utf-8")
    else:
        rows = value if isinstance(value, list) else [value]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def news_line(date: str, split: str, unsplit: str) -> bytes:
    """An article as a document-split file of News Crawl has it."""
    texts = (base64.b64encode(text.encode()) for text in (split, unsplit))
    return b"\t".join([date.encode(), *texts]) + b"\n"


def news_id(date: str, unsplit: str) -> str:
    """What StreamingQA calls an article."""
    digest = hashlib.sha256(base64.b64encode(unsplit.encode())).hexdigest()
    return f"{date}000000000000\0\x01{digest}\0\x01"


NEWS = (
    news_line("20200103", "The bridge opened.\nIt cost 3 million.", "The bridge opened. It cost …")
    + news_line("20200614", "A mayor was elected.\nHer name is Ida Voss.", "A mayor was elected. …")
    + news_line("20210101", "Nothing happened at all.", "Nothing happened at all.")
)

SAMPLES: dict[str, tuple[str, Any]] = {
    "popqa": (
        "popqa.json",
        {
            "name": "popqa",
            "dev": [
                {"input": "Who wrote Emma?", "output": '["Jane Austen", "Austen"]', "id": 1,
                 "s_pop": 41, "o_pop": 900},
            ],
            "test": [
                {"input": "What is the capital of Var?", "output": "['Toulon', \"L'Arsenal\"]",
                 "id": 2, "s_pop": 3724, "o_pop": 11},
            ],
        },
    ),
    "entityquestions": (
        "entities.jsonl",
        [{"relation": "P106", "question": "What does Bo Lund do?", "answers": ["poet", "painter"]}],
    ),
    "nq-open": (
        "NQ-open.dev.jsonl",
        [{"question": "when was the last man on the moon", "answer": ["14 December 1972", "1972"]}],
    ),
    "triviaqa": (
        "unfiltered-web-dev.json",
        {
            "Data": [
                {
                    "Answer": {
                        "Aliases": ["Sunset Blvd", "Sunset Boulevard"],
                        "MatchedWikiEntityName": "Sunset Boulevard (film)",
                        "NormalizedAliases": ["sunset blvd", "sunset boulevard"],
                        "NormalizedValue": "sunset boulevard",
                        "Type": "WikipediaEntity",
                        "Value": "Sunset Boulevard",
                    },
                    "Question": "Which Lloyd Webber musical came to Broadway in 1993?",
                    "QuestionId": "tc_33",
                    "QuestionSource": "http://www.triviacountry.com/",
                    "SearchResults": [],
                },
            ],
            "Domain": "Web",
            "VerifiedEval": False,
            "Version": 1.0,
        },
    ),
    "squad": (
        "dev-v2.0.json",
        {
            "version": "v2.0",
            "data": [
                {
                    "title": "Beyonc%C3%A9_Knowles",
                    "paragraphs": [
                        {
                            "context": "Beyoncé was born in Houston in 1981.",
                            "qas": [
                                {"question": "Where was she born?", "id": "a",
                                 "answers": [{"text": "Houston", "answer_start": 20},
                                             {"text": "in Houston", "answer_start": 17}],
                                 "is_impossible": False},
                                {"question": "Where did she die?", "id": "b", "answers": [],
                                 "plausible_answers": [{"text": "Houston", "answer_start": 20}],
                                 "is_impossible": True},
                            ],
                        },
                        {"context": "A paragraph that nobody asked about.", "qas": []},
                    ],
                }
            ],
        },
    ),
    "retrievalqa": (
        "retrieval.jsonl",
        [
            {
                "data_source": "realtimeqa", "question_id": "realtimeqa_1", "question": "How many?",
                "ground_truth": ["15%"],
                "context": [
                    {"title": "Bed", "text": "About 15% of them."},
                    "A plain text without an answer, 150% sure.",
                    '{"title": "Sheet", "text": "Fully 15 % of them."}',
                    {"title": "Only a title"},
                ],
            },
            {
                "data_source": "popqa", "question_id": "popqa_7", "question": "Who wrote Emma?",
                "ground_truth": ["Jane Austen"],
                "context": [{"id": 3, "title": "T", "text": "Jane, not Austen.", "score": "1.2"}],
            },
        ],
    ),
    "streamingqa": (
        "streaminqa_eval.jsonl",
        [
            {
                "qa_id": "eval-0", "question": "Who was elected mayor?",
                "answers": ["Ida Voss", "Voss", "Ida Voss"], "answers_additional": ["the poet"],
                "question_ts": 1600000000, "evidence_ts": 1592092800,
                "evidence_id": news_id("20200614", "A mayor was elected. …"),
                "recent_or_past": "recent", "written_or_generated": "written",
            },
            {
                "qa_id": "eval-1", "question": "What is her name?",
                "answers": ["Ida Voss"], "answers_additional": "",
                "question_ts": 1600000000, "evidence_ts": 1592092800,
                "evidence_id": news_id("20200614", "A mayor was elected. …"),
                "recent_or_past": "past", "written_or_generated": "generated",
            },
            {
                "qa_id": "eval-2", "question": "What was in 2019?",
                "answers": ["Nothing"], "answers_additional": "",
                "question_ts": 1600000000, "evidence_ts": 1560000000,
                "evidence_id": news_id("20190608", "An article that is not there."),
                "recent_or_past": "past", "written_or_generated": "generated",
            },
        ],
    ),
    "paperqa": (
        "papers.json",
        [
            {
                "id": 0, "link": "https://arxiv.org/abs/0000.00000", "conference": "ICML",
                "title": "On Tides", "introduction": "Tides are slow. They come twice a day.",
                "QA": [
                    {"level": 1, "question": "How often?", "answer": "Twice a day."},
                    {"level": 3, "question": "Why slow?", "answer": "It does not say."},
                ],
            }
        ],
    ),
    "narrativeqa": (
        "narrative.jsonl",
        [
            {
                "document": {
                    "id": "d1", "kind": "gutenberg", "url": "u", "file_size": 9, "word_count": 7,
                    "start": "a", "end": "z", "text": "Once there was a mayor. The end.",
                    "summary": {"text": "A mayor.", "tokens": ["A", "mayor", "."], "url": "u",
                                "title": "The Mayor"},
                },
                "question": {"text": "Who is there?", "tokens": ["Who"]},
                "answers": [{"text": "A mayor", "tokens": ["A"]}, {"text": "The mayor"}],
            },
        ],
    ),
    "quality": (
        "QuALITY.v1.0.1.htmlstripped.dev",
        [
            {
                "article_id": "52845", "set_unique_id": "52845_A", "batch_num": "23",
                "writer_id": "1", "source": "Gutenberg", "title": "The Moon Ship", "year": 1953,
                "author": "B. W.", "topic": "Science fiction", "article": "It flew. " * 9_000,
                "url": "u", "license": "l",
                "questions": [
                    {"question": "What did it do?", "question_unique_id": "52845_A_1",
                     "options": ["It sank", "It flew", "It sang", "Nothing"], "writer_label": 2,
                     "gold_label": 2, "validation": [], "speed_validation": [], "difficult": 0},
                    {"question": "And then?", "question_unique_id": "52845_A_2",
                     "options": ["It sank", "It flew", "It sang", "Nothing"], "writer_label": 4,
                     "gold_label": 4, "validation": [], "speed_validation": [], "difficult": 1},
                ],
            },
        ],
    ),
    "infinitebench": (
        "longbook_choice_eng.jsonl",
        [
            {"id": 0, "context": "A very long book. " * 5_000, "input": "Who is the mayor?",
             "answer": ["Ida Voss", "B"], "options": ["Bo Lund", "Ida Voss", "Al Kay", "Nobody"]},
            {"id": 1, "context": "A very long book. " * 5_000, "input": "Who is not?",
             "answer": ["Al Kay"], "options": ["Bo Lund", "Ida Voss", "Al Kay", "Nobody"]},
        ],
    ),
    "longbench2": (
        "data.json",
        [
            {"_id": "66f3", "domain": "Single-Document QA", "sub_domain": "Academic",
             "difficulty": "hard", "length": "short", "question": "Which holds?",
             "choice_A": "The first", "choice_B": "The second", "choice_C": "The third",
             "choice_D": "None", "answer": "C", "context": "A long context. " * 9_000},
        ],
    ),
    "newscrawl": ("news-docs.2020.en.filtered", NEWS),
}  # fmt: skip
"""name of a format -> name of a file, and what is in it"""


def readable(source: Path, fmt: str, options: Options) -> list[list[Any]] | None:
    """What the rows give, or None where the file cannot be read to its end."""
    try:
        return made_of(fmt, source, options)
    except InputError:
        return None
