"""Questions with the passages that answer them: SQuAD, RetrievalQA, StreamingQA.

**SQuAD**, version 1 and 2, as published (articles, paragraphs, questions) and as on the hub (a
question a row). A paragraph becomes one passage, however many questions it has; its document is
``TITLE/NUMBER``, the paragraphs of an article counted from 1. Questions that the paragraph does not
answer are rejected as ``unanswerable``.

**RetrievalQA**: what a search found becomes passages, whether it holds the answer or not; their
document is the question. An oracle passage is one that holds an accepted answer as whole tokens
of its normal form; how many there are, and how many questions have none, is counted.

**StreamingQA** has the questions only; News Crawl has the articles. With ``articles``, a file of
News Crawl or a folder of them, each article that is asked about becomes a passage, and a question
whose article is not there is rejected as ``no_article``. Dates (``since``, ``until``) are those of
the articles. The additional answers of the evaluation part are left out, as in its evaluation.
"""

from __future__ import annotations

import contextlib
import json
import re
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lorepack.facts.importing.format import Counted, Format, Item, Options, Where
from lorepack.facts.importing.newscrawl import (
    article_text,
    bounded_lines,
    identity,
    in_period,
    news_files,
    period,
)
from lorepack.facts.importing.published import (
    Asked,
    Published,
    Rows,
    each,
    key_of,
    label,
    passage,
    records,
    source_of,
)
from lorepack.facts.importing.stored import Stored
from lorepack.facts.importing.streams import kind_of
from lorepack.facts.importing.values import as_record, fact, found, listed, texts
from lorepack.facts.passage import Passage
from lorepack.facts.rows import RowError
from lorepack.text import Matcher


def _knows_squad(path: Path, record: Mapping[str, Any]) -> bool:
    paragraphs = record.get("paragraphs")
    if isinstance(paragraphs, list) and paragraphs and isinstance(paragraphs[0], dict):
        return paragraphs[0].keys() >= {"context", "qas"}
    answers = record.get("answers")
    return (
        record.keys() >= {"context", "question", "answers"}
        and isinstance(answers, dict)
        and answers.keys() >= {"text", "answer_start"}
    )


def _squad_rows(path: Path, options: Options) -> Rows:
    seen: dict[str, str] = {}
    paragraphs: Counter[str | None] = Counter()
    for number, (where, raw) in enumerate(_squad_questions(path), 1):
        # A document has its questions nowhere in particular: they are counted.
        place = Where(path, number) if kind_of(path) == ".json" else where
        if not isinstance(raw, tuple):
            yield place, raw
            continue
        question, about = raw
        title = label(about.get("title"))
        key = key_of(f"{title}\x1f{about.get('context')}")
        first = key not in seen  # in a table, a paragraph is there once a question
        if first:
            paragraphs[title] += 1
            seen[key] = f"{title}/{paragraphs[title]}" if title else str(paragraphs[title])
        about = {name: about.get(name) for name in ("title", "context", "split")}
        yield place, Asked(question, {**about, "document": seen[key]}, first or question is None)


def _squad_questions(path: Path) -> Iterator[tuple[Where, Any]]:
    """Each question with its paragraph and title; what is no such thing as it is."""
    for where, raw in records(path):
        paragraphs = found(raw, "paragraphs")
        if not isinstance(raw, dict) or not isinstance(paragraphs, list):
            is_flat = isinstance(raw, dict) and "question" in raw
            yield where, (raw, raw) if is_flat else raw
            continue
        if not paragraphs:
            yield where, raw
        for paragraph in paragraphs:
            questions = found(paragraph, "qas")
            if not isinstance(paragraph, dict) or not isinstance(questions, list):
                yield where, paragraph
                continue
            about = {**raw, "context": paragraph.get("context")}
            for question in questions:
                yield where, ({} if question is None else question, about)
            if not questions:
                yield where, (None, about)


def _squad(raw: Any, options: Options) -> Iterator[Item]:
    if not isinstance(raw, Asked):
        raise RowError("schema_json", "expected an article with paragraphs, or a question")
    about, title = raw.about, label(raw.about["title"])
    name = urllib.parse.unquote(title).replace("_", " ") if title else None

    def asked() -> Item:
        record = as_record(raw.record)
        answers = texts(found(record.get("answers"), "text"), "answers")
        if record.get("is_impossible") is True or (not answers and "answers" in record):
            raise RowError("unanswerable", "the paragraph does not answer this question")
        source, split = source_of("squad", about["document"]), about["split"]
        return fact(record.get("question"), answers, subject=name, split=split, source=source)

    def told() -> Item:
        return passage(about["context"], title=name, document=about["document"], source="squad")

    makers = [asked] if raw.record is not None else []
    yield from each(*makers, *([told] if raw.first else []))


def _knows_retrieval(path: Path, record: Mapping[str, Any]) -> bool:
    return record.keys() >= {"data_source", "question_id", "question", "ground_truth", "context"}


def _retrieval_rows(path: Path, options: Options) -> Rows:
    return records(path, options, part="data_source")


def _retrieval(raw: Any, options: Options) -> Iterator[Item]:
    record = as_record(raw)
    document, evidence = record.get("question_id"), record.get("context")
    error, holds = None, Matcher(())
    try:
        asked = fact(
            record.get("question"),
            listed(record.get("ground_truth"), "ground_truth"),
            split=record.get("data_source"),
            source=source_of("retrievalqa", document),
        )
        yield asked
        holds = Matcher(asked.accepted)
    except RowError as reason:
        error = reason
    passages: dict[str, Passage] = {}
    for item in evidence if isinstance(evidence, list) else []:
        told = _evidence(item, document)
        if isinstance(told, Counted):
            yield told
        elif told.id in passages:
            yield Counted("passages_found_twice")
        else:
            passages[told.id] = told
            yield told
    oracles = sum(holds(told.text) for told in passages.values())
    yield from [Counted("oracle_passages")] * oracles
    if not oracles and not error:
        yield Counted("questions_without_oracle")
    if not isinstance(evidence, list):
        error = error or RowError("schema_type", "'context' is no list of search results")
    if error:
        raise error


def _evidence(item: Any, document: Any) -> Passage | Counted:
    """The passage of one search result: an object, an object in a string, or the text itself."""
    if isinstance(item, str) and item.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):  # a text that begins with a brace
            item = json.loads(item)
    title = None
    if isinstance(item, dict):
        title, item = item.get("title"), item.get("text")
    try:
        return passage(item, title=title, document=document, source="retrievalqa")
    except RowError as error:
        kind = "without_text" if error.kind == "no_text" else "that_are_broken"
        return Counted(f"passages_{kind}")


def _knows_streaming(path: Path, record: Mapping[str, Any]) -> bool:
    return record.keys() >= {"qa_id", "question", "answers", "evidence_id"}


_EVIDENCE = re.compile(r"(\d{4})(\d{2})(\d{2})\d{12}\W+([0-9a-f]{64})\W*")


def _article_id(told: Any) -> str | None:
    """The id of an article as `newscrawl` gives it: the day, a hyphen, and a hash."""
    parts = _EVIDENCE.fullmatch(told) if isinstance(told, str) else None
    return f"{parts[1]}-{parts[2]}-{parts[3]}-{parts[4]}" if parts else None


def _streaming_rows(path: Path, options: Options) -> Rows:
    period(options)
    if options.articles is None:
        yield from ((where, _asked(raw, None, False)) for where, raw in records(path))
        return
    wanted = {_article_id(found(raw, "evidence_id")) for _, raw in records(path)}
    with Stored() as articles:
        for file in news_files(options.articles):
            yield from _collected(file, wanted, articles)
        given: set[str] = set()
        for where, raw in records(path):
            name = _article_id(found(raw, "evidence_id")) or ""
            first = name in articles and name not in given
            given.add(name)
            article = (
                articles.get(name) if first else {"document": name} if name in articles else {}
            )
            yield where, _asked(raw, article, first)


def _asked(raw: Any, article: Any, first: bool) -> Any:
    return raw if isinstance(raw, RowError) else Asked(raw, article, first)


def _collected(file: Path, wanted: set[str | None], articles: Stored) -> Rows:
    """Keep the articles that are asked about; yield the lines that are none."""
    for number, line in bounded_lines(file):
        if line.isspace():
            continue
        try:
            name, date = identity(line)
            if name in wanted:
                articles.put(name, {"date": date, "text": article_text(line)})
        except RowError as error:
            yield Where(file, number), error


def _inside(article: str | None, options: Options) -> bool:
    """Whether an article lies within the dates that were asked for: its id begins with its day.

    Raises:
        RowError: it has no such id, and dates were asked for.
    """
    if options.since is None and options.until is None:
        return True
    if article is None:
        raise RowError("no_date", "'evidence_id' says no day")
    return in_period(article[:10], options)


def _streaming(raw: Any, options: Options) -> Iterator[Item]:
    record, about = as_record(raw.record), raw.about
    document = _article_id(record.get("evidence_id"))
    if not _inside(document, options):
        yield Counted("outside_dates")
        return
    if about == {}:
        raise RowError("no_article", "its article is not among those that were given")
    part, _, number = str(record.get("qa_id")).rpartition("-")
    names = (part if number.isdecimal() else None, label(record.get("recent_or_past")))

    def asked() -> Item:
        return fact(
            record.get("question"),
            listed(record.get("answers"), "answers"),
            split="-".join(filter(None, names)) or None,
            source=source_of("streamingqa", document or record.get("evidence_id")),
        )

    def told() -> Item:
        text, date = about["text"], about["date"]
        return passage(text, source="streamingqa", document=document, date=date)

    yield from each(asked, *([told] if raw.first else []))


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Published(
            "squad", "SQuAD 1 and 2: questions and paragraphs", _knows_squad, _squad_rows, _squad,
            yields="both",
        ),
        Published(
            "retrievalqa", "RetrievalQA: questions and what a search found", _knows_retrieval,
            _retrieval_rows, _retrieval, takes=frozenset({"split"}), yields="both",
        ),
        Published(
            "streamingqa", "StreamingQA: questions on news; --articles joins News Crawl",
            _knows_streaming, _streaming_rows, _streaming,
            takes=frozenset({"articles", "since", "until"}), yields="both",
        ),
    )
}  # fmt: skip
