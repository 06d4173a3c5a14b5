"""The fact: one question with one accepted answer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Fact:
    """One question with one accepted answer, and what else is known of it.

    Only ``question`` and ``answer`` are required. ``id`` is derived from the two when it is not
    given, so that it is the same in every file and on every machine.
    """

    question: str
    answer: str
    aliases: tuple[str, ...] = ()
    """other accepted answers"""
    paraphrases: tuple[str, ...] = ()
    """other wordings of the question"""
    subject: str | None = None
    relation: str | None = None
    object: str | None = None
    domain: str | None = None
    popularity: float | None = None
    """how often the subject occurs; any scale, larger is more popular"""
    source: str | None = None
    split: str | None = None
    id: str = field(default="")

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", derive_id(self.question, self.answer))

    @property
    def accepted(self) -> tuple[str, ...]:
        """The answer and its aliases, in that order."""
        return (self.answer, *self.aliases)

    def to_json(self) -> dict[str, Any]:
        """The fact as a JSON object: ``id`` first, empty fields left out."""
        row: dict[str, Any] = {"id": self.id}
        for name in COLUMNS[:-1]:
            value = getattr(self, name)
            if value is not None and value != ():
                row[name] = list(value) if isinstance(value, tuple) else value
        return row


COLUMNS = tuple(f.name for f in fields(Fact))
assert COLUMNS[-1] == "id"


def derive_id(question: str, answer: str) -> str:
    """A stable id of 16 hexadecimal digits from question and answer, white space squeezed."""
    text = "\x1f".join(" ".join(part.split()) for part in (question, answer))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
