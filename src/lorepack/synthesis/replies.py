"""What replies look like: the shapes that a writer's JSON is checked against.

They take what models make of an order for JSON: a bare list in place of ``{"items": […]}``, keys
in capitals, keys that nobody asked for, a number for an answer. What is empty or malformed is
taken out of the list and kept in ``dropped``; a list in which nothing is left is an error.
"""

from __future__ import annotations

import json
import math
from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

Level = Literal["recall", "comprehension", "inference"]
LEVELS: tuple[Level, ...] = get_args(Level)
SHOWN = 2_000
"""characters of what is broken that are kept"""
MALFORMED = "a part of a reply that is empty or malformed"


class _Part(BaseModel):
    """One thing in a list; its fields are texts."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _tidy(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {str(key).strip().lower(): text_of(held) for key, held in value.items()}


class Question(_Part):
    """A question with its answer, and the words of the passage that the answer rests on."""

    question: str
    answer: str
    evidence: str | None = None

    @field_validator("question", "answer")
    @classmethod
    def _said(cls, value: str) -> str:
        return _not_empty(value)


class ExamQuestion(Question):
    """A question of an exam; its level is the one asked for when the writer names none."""

    level: Level | None = None

    @field_validator("level", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) and value.lower() in LEVELS else None


class Statement(_Part):
    """A statement that stands alone, its triple, and the words that it rests on."""

    statement: str
    subject: str | None = None
    relation: str | None = None
    object: str | None = None
    evidence: str | None = None

    @field_validator("statement")
    @classmethod
    def _said(cls, value: str) -> str:
        return _not_empty(value)


class _List(BaseModel):
    """A reply that lists things under ``items``."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    part: ClassVar[type[_Part] | None] = None

    dropped: tuple[str, ...] = ()
    """things in the list that were empty or malformed, each as JSON, cut to `SHOWN`"""

    @model_validator(mode="before")
    @classmethod
    def _sort_out(cls, value: Any) -> Any:
        given = _listed(value)
        pairs = [(cls._item(one), one) for one in given]
        kept = [item for item, _ in pairs if item is not None]
        if not kept:
            said = f"none of its {len(given)} can be used" if given else "it is empty"
            raise ValueError(f'expected {{"items": [{cls.wanted()}, …]}}; {said}')
        return {"items": kept, "dropped": [_shown(one) for item, one in pairs if item is None]}

    @classmethod
    def _item(cls, value: Any) -> Any:
        assert cls.part is not None
        try:
            return cls.part.model_validate(value)
        except ValidationError:
            return None

    @classmethod
    def wanted(cls) -> str:
        """One thing of the list, as it is asked for."""
        assert cls.part is not None
        return "{" + ", ".join(f'"{name}": …' for name in cls.part.model_fields) + "}"


class Questions(_List):
    """Questions with answers."""

    part = Question
    items: tuple[Question, ...]


class ExamQuestions(_List):
    """Questions of an exam."""

    part = ExamQuestion
    items: tuple[ExamQuestion, ...]


class Statements(_List):
    """Statements with triples."""

    part = Statement
    items: tuple[Statement, ...]


class Texts(_List):
    """Texts: summaries, rewordings, names."""

    items: tuple[str, ...]

    @classmethod
    def _item(cls, value: Any) -> Any:
        if isinstance(value, dict):  # {"summary": "…"}
            texts = [text for held in value.values() if isinstance(text := text_of(held), str)]
            value = texts[0] if len(texts) == 1 else None
        text = text_of(value)
        return text if isinstance(text, str) and text else None

    @classmethod
    def wanted(cls) -> str:
        return '"…"'


SHAPES: dict[str, type[BaseModel] | None] = {
    "questions": Questions,
    "exam": ExamQuestions,
    "statements": Statements,
    "texts": Texts,
    "running": None,
}
"""by the name that a prompt file gives; None is running text"""


def schema_of(shape: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema that a writer is held to, in the strict subset that endpoints take.

    Every key is required and no other is allowed, although the check of a reply is milder.
    """
    assert issubclass(shape, _List)
    item: dict[str, Any] = {"type": "string"}
    if shape.part is not None:
        item = _object({name: _property(name) for name in shape.part.model_fields})
    return _object({"items": {"type": "array", "items": item}})


def _property(name: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(LEVELS)} if name == "level" else {"type": "string"}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def text_of(value: Any) -> Any:
    """A scalar, or a list of scalars, as text without white space around it; None where it is
    neither. Nulls, truth values and numbers that are none say nothing."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int | float) and not isinstance(value, bool):
        fits = math.isfinite(value) if isinstance(value, float) else value.bit_length() < 4_096
        return str(value) if fits else None
    if isinstance(value, list) and value and not any(isinstance(v, list) for v in value):
        texts = [text_of(held) for held in value]
        return ", ".join(texts) if all(texts) else None
    return None


def _listed(value: Any) -> list[Any]:
    """The list in a reply: under ``items``, under the only key that holds one, or bare."""
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, dict):
        return [] if value is None else [value]
    if isinstance(value.get("items"), list | tuple):
        return list(value["items"])
    lists = [held for held in value.values() if _holds_parts(held)]
    return list(lists[0]) if len(lists) == 1 else [value]


def _holds_parts(value: Any) -> bool:
    return isinstance(value, list | tuple) and any(isinstance(v, dict | str) for v in value)


def _shown(value: Any) -> str:
    """A thing of a reply as JSON, for a reader."""
    try:
        return json.dumps(value, ensure_ascii=False)[:SHOWN]
    except (TypeError, ValueError, RecursionError):  # a number of too many digits
        return f"a {type(value).__name__} that cannot be shown"


def _not_empty(value: str) -> str:
    if not any(map(str.isalnum, value)):
        raise ValueError("it is empty")
    return value
