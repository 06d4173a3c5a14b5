"""The document: cleaned text, what is known of it, and where its pages begin."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True)
class Document:
    """A document as text."""

    text: str
    """cleaned: every place that a passage gives is a place in it"""
    title: str | None = None
    language: str | None = None
    """ISO 639-1, where the document tells it"""
    date: str | None = None
    """ISO 8601, where the document tells it"""
    pages: tuple[int, ...] = ()
    """the place where each page begins; empty where there are no pages"""

    def page_of(self, place: int) -> int | None:
        """The page, from 1, on which a place lies; None where there are no pages."""
        return bisect_right(self.pages, place) or None


def told_language(value: object) -> str | None:
    """ISO 639-1 from what a document says (``en-GB``); None where it is something else."""
    found = re.fullmatch(r"([a-z]{2})(?:[-_].*)?", str(value or "").strip().lower(), re.DOTALL)
    return found[1] if found else None


def told_date(value: object) -> str | None:
    """The year, month or day with which a text begins, ISO 8601; None where it does not."""
    found = re.match(
        r"\d{4}(?:-(?:0[1-9]|1[0-2])(?:-(?:0[1-9]|[12]\d|3[01])(?!\d))?)?(?![\d-])",
        str(value or "").strip(),
    )
    return found[0] if found else None


def told_title(value: object) -> str | None:
    """A title on one line, of at most 300 characters; None where there is none."""
    title = " ".join(str(value or "").split())
    title = "".join(char for char in title if char.isprintable())
    return title[:300] or None
