"""The item: one piece of training or evaluation data written from a passage."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Item:
    """Something that was written from a passage.

    It holds a question with its answer, or running text, or a task with the text that answers it.
    ``id`` is derived from form, passage and content when it is not given.
    """

    form: str
    """the form that it has: ``qa``, ``summary``, …"""
    passage: str
    """id of the passage"""
    document: str | None = None
    """id of the passage's document"""
    question: str | None = None
    answer: str | None = None
    text: str | None = None
    """running text; of a deep-context target, what the model is to say"""
    task: str | None = None
    """what a deep-context target answers, without the passage"""
    level: str | None = None
    """of an exam question: ``recall``, ``comprehension`` or ``inference``"""
    evidence: str | None = None
    """the words of the passage that it rests on, where the writer names them"""
    subject: str | None = None
    relation: str | None = None
    object: str | None = None
    id: str = field(default="")

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", _derive_id(self))

    @property
    def content(self) -> str:
        """All its words: question and answer, or task and text."""
        parts = (self.question, self.answer, self.task, self.text)
        return "\n".join(part for part in parts if part)

    def to_json(self) -> dict[str, Any]:
        """The item as a JSON object: ``id`` first, empty fields left out."""
        row: dict[str, Any] = {"id": self.id}
        for name in COLUMNS[:-1]:
            if (value := getattr(self, name)) is not None:
                row[name] = value
        return row


COLUMNS = tuple(f.name for f in fields(Item))
assert COLUMNS[-1] == "id"


def _derive_id(item: Item) -> str:
    """A stable id of 16 hexadecimal digits."""
    parts = (item.form, item.passage, item.level or "", item.content)
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
