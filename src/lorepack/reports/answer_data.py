"""The data of the answer browser: compact JSON, zipped, as text that a page can hold.

Each distinct text is stored once, rows hold its number. Where everything does not fit, the less
usual answers of every fact go first, then facts: those that did not change before any that did.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any

from lorepack.reports import causes as cause_words
from lorepack.reports.answer_rows import AFTER, BEFORE, Chosen, Row, chosen
from lorepack.reports.form import CATEGORIES
from lorepack.reports.run_files import RunFiles

MOST = 50_000
"""facts that are shown at most"""
ROOM = 4_900_000
"""bytes that the zipped data may take in the page, so that all of it stays under 10 MB"""


@dataclass(frozen=True)
class AnswerData:
    """What the page holds, and what it says about it."""

    zipped: str
    """base64 of a gzip stream of JSON"""
    facts: int
    """in the run"""
    shown: int
    changed: int
    """facts of the run whose category changed"""
    whole: bool
    """whether all answers of a fact are there; else only the most usual ones"""
    relations: tuple[str, ...]
    causes: tuple[tuple[str, str], ...]
    """(label, name) of every cause that occurs; empty when none was looked for"""


def answer_data(found: RunFiles, room: int = ROOM, most: int = MOST) -> AnswerData:
    """The answers of a run, as many as fit.

    Args:
        found: the files of a run.
        room: bytes of base64.
        most: facts.

    Returns:
        The data; equal files give equal bytes.

    Raises:
        LorepackError: a table is missing or cut off, or lacks a fact.
    """
    picked, whole = chosen(found, most), True
    packed = pack(picked, whole)
    if len(packed) > room:
        whole = False
        packed = pack(picked, whole)
    while len(packed) > room:
        fewer = int(0.95 * len(picked.rows) * room / len(packed))
        picked = chosen(found, fewer)
        packed = pack(picked, whole)
    rows = picked.rows
    labels = sorted({label for row in rows for label in row.causes or ()})
    return AnswerData(
        zipped=packed,
        facts=picked.facts,
        shown=len(rows),
        changed=picked.changed,
        whole=whole,
        relations=tuple(sorted({row.relation for row in rows} - {""})),
        causes=tuple((label, cause_words.name(label)) for label in labels) if picked.causes else (),
    )


def pack(picked: Chosen, whole: bool) -> str:
    """The rows as base64 of a gzip stream without a date."""
    text = json.dumps(document(picked, whole), ensure_ascii=False, separators=(",", ":"))
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)  # 31: with the frame of gzip, undated
    packed = squeeze.compress(text.encode("utf-8", "replace")) + squeeze.flush()
    return base64.b64encode(packed).decode("ascii")


def document(picked: Chosen, whole: bool) -> dict[str, Any]:
    """The rows as columns of numbers beside one list of texts.

    Args:
        picked: the rows.
        whole: hold all answers of a fact, not only the most usual one.

    Returns:
        ``texts``; ``ids``; ``question, answer, relation`` as numbers of texts; ``part, before,
        after``; ``right`` as (k, n, k, n); ``causes`` as bits of ``labels``, -1 where none was
        looked for; ``said``, before and after: text, and twice the times plus 1 if right, in turn.
    """
    texts: dict[str, int] = {}
    number = lambda text: texts.setdefault(text, len(texts))  # noqa: E731
    rows = picked.rows
    labels = sorted({label for row in rows for label in row.causes or ()})
    columns = {
        "ids": [row.id for row in rows],
        "question": [number(row.question) for row in rows],
        "answer": [number(row.answer) for row in rows],
        "relation": [number(row.relation) for row in rows],
        "part": [row.part for row in rows],
        "before": [row.category[BEFORE] for row in rows],
        "after": [row.category[AFTER] for row in rows],
        "right": [n for row in rows for when in (BEFORE, AFTER) for n in row.right[when]],
        "causes": [_bits(row, labels) for row in rows],
        "said": [
            [
                [part for text, times, good in row.said[when][: None if whole else 1]
                 for part in (number(text), 2 * times + good)]
                for row in rows
            ]
            for when in (BEFORE, AFTER)
        ],
    }  # fmt: skip
    return {"categories": CATEGORIES, "labels": labels, "texts": list(texts), **columns}


def _bits(row: Row, labels: list[str]) -> int:
    if row.causes is None:
        return -1
    return sum(1 << labels.index(label) for label in row.causes)
