"""Multiple choice over long documents: QuALITY, ∞Bench, LongBench v2.

Each document becomes one passage, however many questions it has. The answer is the text of the
right option; the question keeps its wording and does not list the options.

**∞Bench**: tasks without a question (summaries) or whose answer is a sequence of numbers are
rejected. The name of the file says the task, which is the split.

**LongBench v2**: the split is the difficulty; the domain names domain and sub-domain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lorepack.facts.importing.format import Format, Item, Options
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
from lorepack.facts.importing.values import as_record, distinct, fact, found, listed, plain, texts
from lorepack.facts.rows import RowError


def _knows_quality(path: Path, record: Mapping[str, Any]) -> bool:
    return record.keys() >= {"article_id", "set_unique_id", "article", "questions"}


def _quality_rows(path: Path, options: Options) -> Rows:
    seen: set[Any] = set()
    for where, raw in records(path):
        questions = found(raw, "questions")
        if not isinstance(raw, dict) or not isinstance(questions, list):
            yield where, raw
            continue
        about = {name: value for name, value in raw.items() if name != "questions"}
        key = label(about.get("article_id")) or key_of(str(about.get("article")))
        for question in questions:
            yield where, Asked({} if question is None else question, about, key not in seen)
            seen.add(key)  # an article may stand on two lines with different questions
        if not questions:
            yield where, Asked(None, about, True)
            seen.add(key)


def _quality(raw: Any, options: Options) -> Iterator[Item]:
    if not isinstance(raw, Asked):
        raise RowError("schema_json", "expected an article with a list of questions")
    about, title = raw.about, label(raw.about.get("title"))
    name = about.get("article_id")

    def asked() -> Item:
        record = as_record(raw.record)
        number = record.get("gold_label")
        if number is None:
            raise RowError("no_answer", "no 'gold_label'; those of the test split are hidden")
        return fact(
            record.get("question"),
            _option(listed(record.get("options"), "options"), number),
            subject=title,
            domain=about.get("topic") or None,
            split=about.get("split"),
            source=source_of("quality", name),
        )

    def told() -> Item:
        return passage(about.get("article"), title=title, document=name, source="quality")

    makers = [asked] if raw.record is not None else []
    yield from each(*makers, *([told] if raw.first else []))


def _option(options: Any, number: Any) -> str:
    """The text of an option that is counted from 1."""
    if not isinstance(options, list):
        raise RowError("schema_type", "'options' is no list")
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(options):
        raise RowError("no_answer", f"option {str(number)[:40]!r} of {len(options)} is the answer")
    return plain(options[number - 1], "options")


_TASKS = re.compile(r"(passkey|number_string|kv_retrieval|math_find|math_calc|code_run|code_debug|"
                    r"long(?:book|dialogue)_(?:qa|sum|choice)_(?:eng|chn))")  # fmt: skip


def _knows_infinite(path: Path, record: Mapping[str, Any]) -> bool:
    return record.keys() >= {"context", "input", "answer", "options"}


def _once(path: Path, key: str) -> Rows:
    """The records of a file, each with whether its document is there for the first time."""
    seen: set[str] = set()
    for where, raw in records(path):
        if not isinstance(raw, dict):
            yield where, raw
            continue
        name = key_of(str(raw.get(key)))
        task = _TASKS.search(path.name)
        yield where, Asked(raw, {"id": name, "task": task and task[1]}, name not in seen)
        seen.add(name)


def _infinite(raw: Any, options: Options) -> Iterator[Item]:
    if not isinstance(raw, Asked):
        as_record(raw)
    record, name = raw.record, raw.about["id"]

    def asked() -> Item:
        question = record.get("input")
        if question is None or (isinstance(question, str) and not question.strip()):
            raise RowError("no_question", "a task without a question")
        return fact(
            question,
            _infinite_answers(record),
            split=raw.about["task"],
            source=source_of("infinitebench", name),
        )

    def told() -> Item:
        return passage(record.get("context"), document=name, source="infinitebench")

    yield from each(asked, *([told] if raw.first else []))


def _infinite_answers(record: Mapping[str, Any]) -> list[str]:
    """The accepted answers, without the letter that stands for one of them."""
    given = listed(record.get("answer"), "answer")
    if isinstance(given, list) and len(given) > 1 and not any(isinstance(x, str) for x in given):
        raise RowError("schema_type", "'answer' is a sequence of numbers, not one answer")
    answers = distinct(texts(given, "answer"))
    choices = distinct(texts(listed(record.get("options"), "options"), "options"))
    if not (choices and answers):
        return answers
    letters = dict(zip("ABCDEFGHIJ", choices, strict=False))
    first = answers[0]
    if first not in choices:
        if first not in letters:
            raise RowError("no_answer", f"the answer {first[:40]!r} is none of the options")
        return [letters[first]]
    return [first, *(text for text in answers[1:] if letters.get(text) != first)]


def _knows_longbench(path: Path, record: Mapping[str, Any]) -> bool:
    return record.keys() >= {"_id", "question", "choice_A", "choice_D", "answer", "context"}


def _longbench(raw: Any, options: Options) -> Iterator[Item]:
    record = as_record(raw)
    name = record.get("_id")

    def asked() -> Item:
        letter = record.get("answer")
        if letter not in ("A", "B", "C", "D"):
            raise RowError(
                "no_answer", f"the answer is {str(letter)[:40]!r}; expected A, B, C or D"
            )
        fields = (label(record.get(key)) for key in ("domain", "sub_domain"))
        return fact(
            record.get("question"),
            record.get(f"choice_{letter}"),
            domain=" / ".join(filter(None, fields)) or None,
            split=record.get("difficulty"),
            source=source_of("longbench2", name),
        )

    def told() -> Item:
        return passage(record.get("context"), document=name, source="longbench2")

    yield from each(asked, told)


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Published(
            "quality", "QuALITY 1.0.1: articles with multiple-choice questions", _knows_quality,
            _quality_rows, _quality, yields="both",
        ),
        Published(
            "infinitebench", "∞Bench: one of its tasks", _knows_infinite,
            lambda path, options: _once(path, "context"), _infinite, yields="both",
        ),
        Published(
            "longbench2", "LongBench v2: multiple-choice questions on long contexts",
            _knows_longbench, lambda path, options: records(path), _longbench, yields="both",
        ),
    )
}  # fmt: skip
