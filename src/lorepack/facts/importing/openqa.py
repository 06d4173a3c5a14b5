"""Open questions with short answers: PopQA, EntityQuestions, NQ-open, TriviaQA.

All accepted answers are kept; of TriviaQA the normalised aliases too, since published figures are
measured with them. Relations stay what the data sets call them: a word in PopQA, a property of
Wikidata (``P106``) in EntityQuestions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorepack.errors import InputError
from lorepack.facts.importing.format import Format, Item, Options
from lorepack.facts.importing.published import Published, Rows, files_in, records, split_of
from lorepack.facts.importing.values import as_record, fact, found, listed, texts
from lorepack.facts.rows import RowError

_PROPERTY = re.compile(r"P\d+")
_RELATION_FILE = re.compile(r"(P\d+)\.\w+\.json", re.IGNORECASE)


def _knows_popqa(path: Path, record: Mapping[str, Any]) -> bool:
    return record.keys() >= {"s_pop", "o_pop"} and bool(
        record.keys() & {"output", "possible_answers"}
    )


def _popqa(raw: Any, options: Options) -> Iterator[Item]:
    record = as_record(raw)
    told = "output" in record
    answers = texts(
        listed(record.get("output" if told else "possible_answers"), "answers"), "answers"
    )
    known = record.get("obj")
    if known in answers:
        answers.insert(0, known)  # the aliases stand in no order
    yield fact(
        record.get("input" if told else "question"),
        answers,
        subject=record.get("subj"),
        relation=record.get("prop"),
        object=known,
        popularity=_number(record.get("s_pop")),
        split=record.get("split"),
        source="popqa",
    )


def _number(value: Any) -> Any:
    """A number, also from the cell of a table."""
    if not isinstance(value, str):
        return value
    try:
        return float(value) if value.strip() else None
    except ValueError:
        raise RowError("schema_type", f"'s_pop' is {value[:40]!r}; expected a number") from None


@dataclass(frozen=True)
class EntityQuestions(Published):
    """EntityQuestions: one file, or the folder of one file a relation as it was published."""

    def fits(self, path: Path, head: bytes) -> bool:
        """Whether it is such a file, or a folder of them."""
        return bool(files_in(path, _RELATION_FILE)) if path.is_dir() else super().fits(path, head)


def _knows_entity_questions(path: Path, record: Mapping[str, Any]) -> bool:
    if not (record.keys() >= {"question", "answers"} and isinstance(record["answers"], list)):
        return False
    relation = record.get("relation")
    if isinstance(relation, str) and _PROPERTY.fullmatch(relation):
        return True
    return record.keys() == {"question", "answers"} and bool(_RELATION_FILE.fullmatch(path.name))


def _entity_rows(path: Path, options: Options) -> Rows:
    files = files_in(path, _RELATION_FILE) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: no file such as P106.test.json in this folder")
    for file in files:
        named = _RELATION_FILE.fullmatch(file.name)
        for where, raw in records(file):
            if named and isinstance(raw, dict) and "relation" not in raw:
                raw = {**raw, "relation": named[1].upper()}
            yield where, raw


def _entity_questions(raw: Any, options: Options) -> Iterator[Item]:
    record = as_record(raw)
    yield fact(
        record.get("question"),
        listed(record.get("answers"), "answers"),
        relation=record.get("relation"),
        split=record.get("split"),
        source="entityquestions",
    )


def _knows_nq(path: Path, record: Mapping[str, Any]) -> bool:
    answers = record.get("answer")
    return (
        record.keys() == {"question", "answer"}
        and isinstance(answers, list)
        and all(isinstance(answer, str) for answer in answers)
    )


def _nq_open(raw: Any, options: Options) -> Iterator[Item]:
    record = as_record(raw)
    answers = listed(record.get("answer"), "answer")
    yield fact(record.get("question"), answers, split=record.get("split"), source="nq-open")


def _knows_trivia(path: Path, record: Mapping[str, Any]) -> bool:
    if record.keys() >= {"Question", "QuestionId"}:
        return True
    answer = record.get("answer")
    return (
        record.keys() >= {"question", "question_id"}
        and isinstance(answer, dict)
        and answer.keys() >= {"value", "aliases"}
    )


_TRIVIA_ANSWERS = (
    *("value", "aliases", "normalized_value", "normalized_aliases"),  # of the hub
    *("Value", "Aliases", "NormalizedValue", "NormalizedAliases", "HumanAnswers"),
)


def _trivia(raw: Any, options: Options) -> Iterator[Item]:
    record = as_record(raw)
    answer = record.get("answer", record.get("Answer"))
    many = [text for key in _TRIVIA_ANSWERS for text in texts(found(answer, key), key)]
    if answer is None or set(many) <= {"<unk>", ""}:
        raise RowError("no_answer", "no answer; those of the test split are not published")
    yield fact(
        record.get("question", record.get("Question")),
        many,
        split=record.get("split"),
        source="triviaqa",
    )


def _trivia_rows(path: Path, options: Options) -> Rows:
    for where, raw in records(path):
        if isinstance(raw, dict) and raw.get("split") == "Data":  # the key of the published list
            raw = {**raw, "split": split_of(path)}
        yield where, raw


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Published(
            "popqa",
            "PopQA: questions with the popularity of their subjects",
            _knows_popqa,
            records,
            _popqa,
            takes=frozenset({"split"}),
        ),
        EntityQuestions(
            "entityquestions",
            "EntityQuestions: a file, or a folder of files such as P106.test.json",
            _knows_entity_questions,
            _entity_rows,
            _entity_questions,
        ),
        Published(
            "nq-open", "NQ-open: questions, each with a list of answers", _knows_nq,
            lambda path, options: records(path), _nq_open,
        ),
        Published(
            "triviaqa", "TriviaQA: the published JSON or the hub's Parquet", _knows_trivia,
            _trivia_rows, _trivia,
        ),
    )
}  # fmt: skip
