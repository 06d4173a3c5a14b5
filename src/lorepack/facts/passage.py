"""The passage: a piece of text that carries facts, and where it comes from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document.

    Only ``text`` is required. ``id`` is derived from text and document when it is not given.
    """

    text: str
    title: str | None = None
    document: str | None = None
    """id of the document that it is cut from"""
    source: str | None = None
    """data set or file"""
    page: int | None = None
    """from 1, where the document has pages"""
    start: int | None = None
    """place of the first character in the cleaned document"""
    end: int | None = None
    """place behind the last character"""
    language: str | None = None
    """ISO 639-1, where it was told or found"""
    date: str | None = None
    """ISO 8601, where it was told"""
    id: str = field(default="")

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", derive_id(self))

    def to_json(self) -> dict[str, Any]:
        """The passage as a JSON object: ``id`` first, empty fields left out."""
        row: dict[str, Any] = {"id": self.id}
        for name in COLUMNS[:-1]:
            if (value := getattr(self, name)) is not None:
                row[name] = value
        return row


COLUMNS = tuple(f.name for f in fields(Passage))
assert COLUMNS[-1] == "id"


def derive_id(passage: Passage) -> str:
    """A stable id of 16 hexadecimal digits from document, place and text."""
    parts = (passage.document or "", str(passage.start or 0), passage.text)
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
