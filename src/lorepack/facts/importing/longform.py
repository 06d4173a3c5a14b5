"""Long documents and questions on them: PaperQA, NarrativeQA.

Each document becomes one passage, however many questions it has.

**PaperQA** comes in three files: papers with introduction and questions at three levels (the split
is ``level-1`` to ``level-3``); training questions that name the paper (the split is ``train``); and
all introductions in one text, which is cut where the next paper begins.

**NarrativeQA**: the documents alone (``doc_id``, ``normalized_text``) become passages, and their
summaries passages of the same document with the title ``Summary``. Questions come from the hub's
rows, which bring their document along, or from the published ``qaps.csv``, which does not. With
``articles``, a file of documents, each document that is asked about becomes a passage, and a
question whose document is not there is rejected as ``no_article``. The questions are always the
source and the documents always the articles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lorepack.errors import InputError
from lorepack.facts.importing.format import Format, Item, Options, Where
from lorepack.facts.importing.published import (
    Asked,
    Published,
    Rows,
    each,
    label,
    passage,
    records,
    source_of,
)
from lorepack.facts.importing.stored import Stored
from lorepack.facts.importing.streams import kind_of
from lorepack.facts.importing.values import as_record, fact, found, plain
from lorepack.facts.rows import RowError

_PAPER = re.compile(r"In the Paper ID (\d+), ")
_INTRODUCTION = re.compile(r"^This paper (\d+) discusses:", re.MULTILINE)


def _knows_paper(path: Path, record: Mapping[str, Any]) -> bool:
    if record.keys() >= {"id", "title", "introduction", "QA"}:
        return True
    if record.keys() == {"text"}:
        return bool(_INTRODUCTION.match(str(record["text"])))
    return record.keys() == {"question", "answer"} and bool(_PAPER.match(str(record["question"])))


def _paper_rows(path: Path, options: Options) -> Rows:
    number = 0
    for where, raw in records(path):
        for item in _paper_parts(raw):
            number += 1
            yield Where(path, number) if kind_of(path) == ".json" else where, item


def _paper_parts(raw: Any) -> Iterator[Any]:
    """The questions of a paper; another record as it is."""
    questions = found(raw, "QA")
    if not isinstance(raw, dict) or not isinstance(questions, list):
        yield raw
        return
    about = {name: value for name, value in raw.items() if name != "QA"}
    for number, question in enumerate(questions):
        yield Asked({} if question is None else question, about, not number)
    if not questions:
        yield Asked(None, about, True)


def _paper(raw: Any, options: Options) -> Iterator[Item]:
    if isinstance(raw, Asked):
        yield from _paper_question(raw)
        return
    record = as_record(raw)
    if record.keys() == {"text"}:
        yield from _introductions(record["text"])
        return
    named = _PAPER.match(str(record.get("question")))
    source = source_of("paperqa", named and named[1])
    yield fact(record.get("question"), record.get("answer"), split="train", source=source)


def _introductions(text: Any) -> Iterator[Item]:
    """The passages of a text in which one introduction follows another."""
    text = plain(text, "text")
    begins = list(_INTRODUCTION.finditer(text))
    if not begins or text[: begins[0].start()].strip():
        raise RowError("no_paper", "expected 'This paper 0 discusses:' where the text begins")
    ends = [*(begin.start() for begin in begins[1:]), len(text)]
    for begin, end in zip(begins, ends, strict=True):
        piece = text[begin.start() : end].strip()
        yield passage(piece, document=begin[1], source="paperqa")


def _paper_question(raw: Asked) -> Iterator[Item]:
    about, number = raw.about, label(raw.about.get("id"))
    title = about.get("title")

    def asked() -> Item:
        record = as_record(raw.record)
        level = label(record.get("level"))
        return fact(
            record.get("question"),
            record.get("answer"),
            subject=title,
            split=f"level-{level}" if level else None,
            source=source_of("paperqa", number),
        )

    def told() -> Item:
        return passage(about.get("introduction"), title=title, document=number, source="paperqa")

    makers = [asked] if raw.record is not None else []
    yield from each(*makers, *([told] if raw.first else []))


def _knows_narrative(path: Path, record: Mapping[str, Any]) -> bool:
    if record.keys() >= {"doc_id", "normalized_text"}:
        return True
    if record.keys() >= {"document_id", "set", "question", "answer1", "answer2"}:
        return True
    document, question = record.get("document"), record.get("question")
    return (
        isinstance(document, dict)
        and document.keys() >= {"id", "kind", "summary"}
        and isinstance(question, dict)
        and isinstance(record.get("answers"), list)
    )


def _narrative_rows(path: Path, options: Options) -> Rows:
    with Stored() as documents:
        if options.articles is not None:
            yield from _stored(options.articles, documents)
        seen: set[Any] = set()
        for where, raw in records(path):
            if not isinstance(raw, dict):
                yield where, raw
                continue
            if "normalized_text" in raw:
                if options.articles is not None:
                    raise InputError(
                        f"{path}: documents; give the questions as the source and the documents "
                        "as --articles"
                    )
                yield where, raw
                continue
            name = label(found(raw, "document.id")) or label(raw.get("document_id"))
            about = _document(raw, name, None if options.articles is None else documents)
            yield where, Asked(raw, about, bool(about.get("text")) and name not in seen)
            seen.add(name)


def _stored(path: Path, documents: Stored) -> Rows:
    """Keep the documents of a file; yield what is none."""
    for where, raw in records(path):
        name, text = label(found(raw, "doc_id")), found(raw, "normalized_text")
        if name and isinstance(text, str):
            documents.put(name, text)
        elif isinstance(raw, RowError):
            yield where, raw
        else:
            yield where, RowError("schema_missing", "no 'doc_id' and 'normalized_text'")


def _document(raw: Mapping[str, Any], name: str | None, documents: Stored | None) -> dict[str, Any]:
    """What is known of the document of a question; its text from where it was asked for."""
    text = found(raw, "document.text") if documents is None else documents.get(name)
    return {
        "id": name,
        "title": found(raw, "document.summary.title"),
        "kind": found(raw, "document.kind"),
        "text": text,
        "missing": documents is not None and text is None,
    }


def _narrative(raw: Any, options: Options) -> Iterator[Item]:
    if not isinstance(raw, Asked):
        yield from _narrative_document(as_record(raw))
        return
    record, about = raw.record, raw.about
    if about["missing"]:
        raise RowError("no_article", "its document is not among those that were given")
    question = record.get("question")
    answers = found(record.get("answers"), "text")
    if answers is None:
        answers = [record.get("answer1"), record.get("answer2")]
    title, name = label(about["title"]), about["id"]

    def asked() -> Item:
        return fact(
            found(question, "text") if isinstance(question, dict) else question,
            answers,
            subject=title,
            domain=about["kind"],
            split=record.get("set", record.get("split")),
            source=source_of("narrativeqa", name),
        )

    def told() -> Item:
        return passage(about["text"], title=title, document=name, source="narrativeqa")

    yield from each(asked, *([told] if raw.first else []))


def _narrative_document(record: Mapping[str, Any]) -> Iterator[Item]:
    def told(key: str, title: str | None) -> Item:
        name = record.get("doc_id")
        return passage(record.get(key), title=title, document=name, source="narrativeqa")

    makers = [lambda: told("normalized_text", None)]
    if record.get("summary") is not None:
        makers.append(lambda: told("summary", "Summary"))
    yield from each(*makers)


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Published(
            "paperqa", "PaperQA: papers, training questions, or introductions", _knows_paper,
            _paper_rows, _paper, yields="both",
        ),
        Published(
            "narrativeqa", "NarrativeQA: questions, documents, or both through --articles",
            _knows_narrative, _narrative_rows, _narrative, takes=frozenset({"articles"}),
            yields="both",
        ),
    )
}  # fmt: skip
