"""The phone book of "Understanding LoRA as Knowledge Memory" (arXiv 2603.01097).

Two layouts: a CSV file with one column ``text`` of ``Question: … Answer: …``, for training, and a
JSON list of ``question`` and ``answer``, for evaluation. The release writes a question mark in
the first and none in the second; both stay as they are, so their facts have different ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorepack.facts.importing.format import Format, Item, Options
from lorepack.facts.importing.published import Rows, records
from lorepack.facts.importing.streams import first_record, kind_of
from lorepack.facts.importing.values import as_record, fact
from lorepack.facts.rows import RowError
from lorepack.facts.tables import split_labelled

_ASKED = re.compile(r"\s*What is the phone number of (.+?)\s*\??\s*", re.DOTALL)
_LABELLED = re.compile('"?Question:' + _ASKED.pattern)
_NUMBER = re.compile(r"\s*\d{3}-\d{3}-\d{4}\s*")


@dataclass(frozen=True)
class PhoneBook:
    """Names and phone numbers."""

    name: str = "phonebook"
    about: str = "phone book of the LoRA-as-knowledge-memory release (CSV or JSON)"
    takes: frozenset[str] = frozenset()
    yields: str = "facts"

    def fits(self, path: Path, head: bytes) -> bool:
        """Whether the first row asks for a phone number."""
        if kind_of(path) == ".csv":
            lines = head[:4096].decode("utf-8-sig", "replace").splitlines()
            return lines[:1] == ["text"] and bool(lines[1:] and _LABELLED.match(lines[1]))
        row = first_record(path, head) or {}
        question = row.get("question")
        plain = row.keys() == {"question", "answer"} and isinstance(question, str)
        return plain and bool(_ASKED.fullmatch(question or ""))

    def rows(self, path: Path, options: Options) -> Rows:
        """The rows of either layout."""
        return records(path)

    def items(self, raw: Any, options: Options) -> Iterable[Item]:
        """The one number of a row."""
        row = as_record(raw)
        if "text" in row:
            row = {**row, **split_labelled(row["text"])}
        question, number = row.get("question"), row.get("answer")
        asked = _ASKED.fullmatch(question) if isinstance(question, str) else None
        if not asked:
            raise RowError("no_name", "expected 'What is the phone number of NAME'")
        if not (isinstance(number, str) and _NUMBER.fullmatch(number)):
            raise RowError("no_answer", f"expected DDD-DDD-DDDD, got {str(number)[:40]!r}")
        name = asked[1].strip()
        return [
            fact(
                question,
                number,
                subject=name,
                relation="phone number",
                object=number,
                split=row.get("split"),
                source="phonebook",
            )
        ]


FORMATS: dict[str, Format] = {"phonebook": PhoneBook()}
