"""Items that others wrote, linked to the passages that they were written from."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import log
from pathlib import Path

from lorepack.errors import InputError
from lorepack.facts.passage import Passage
from lorepack.facts.passages_file import lines_of, text_field
from lorepack.facts.rows import Record, RowError, show_names
from lorepack.facts.sources import JsonLines
from lorepack.synthesis.item import COLUMNS, Item
from lorepack.synthesis.words import told

TAG = r"\[\s*Paper ID\s*:\s*([^\]]+?)\s*\]\s*|In the Paper ID\s+([^\s,]+)\s*,\s*"
"""a tag before a question, whose group names the document: "[Paper ID: 3] …" """
LEAST = 0.5
"""share of an item's words, rare ones weighing more, that its passage must hold"""
UNLINKED = ("no_such_passage", "no_such_document", "no_alike_passage")
"""why an item could not be linked"""
_FORM = "given"
_COUNTED = frozenset({"id", "passage", "document"})


@dataclass(frozen=True)
class Given:
    """An item that somebody else wrote.

    Attributes:
        item: without its tag; its ``passage`` is empty when it was not linked.
        line: where it stands in its file.
        tag: what was taken off its question.
        by: how it was linked: ``passage``, ``document``, ``tag`` or ``words``.
        problem: why it could not be linked, one of `UNLINKED`.
    """

    item: Item
    line: int
    tag: str | None = None
    by: str | None = None
    problem: str | None = None


def read_given(
    path: Path | str, passages: Iterable[Passage], *, tag: str | None = TAG, form: str = _FORM
) -> Iterator[Given]:
    """Stream the items of a file, each linked to its passage as far as that can be told.

    An item names its passage by ``passage`` (an id) or ``document``, or by a tag in its question;
    else it goes to the passage that holds most of its words. Of several passages of a document,
    words decide too.

    Args:
        path: ``.jsonl``, one object a line with ``question`` and ``answer``, or with ``text``;
            further fields of `Item` are kept, and others are left out.
        passages: of which the items may be.
        tag: regular expression that is looked for where a question, task or text begins; its
            first group that matched names the document. None: tags are not looked for.
        form: of items that name none.

    Returns:
        An iterator over all items, those that could not be linked with their ``problem``.

    Raises:
        NotFoundError: there is no such file.
        InputError: the first bad row, as ``file:line: …``; no items; a tag that is no regular
            expression with a group.
    """
    return _read(lines_of(path, "items"), _Shelf(passages), _compiled(tag), form)


def by_passage(given: Iterable[Given]) -> tuple[dict[str, list[Item]], list[Given]]:
    """Items by the id of their passage, in their order, and those that were not linked."""
    linked: dict[str, list[Item]] = defaultdict(list)
    lost = []
    for one in given:
        if one.problem:
            lost.append(one)
        else:
            linked[one.item.passage].append(one.item)
    return dict(linked), lost


def _compiled(tag: str | None) -> re.Pattern[str] | None:
    if tag is None:
        return None
    try:
        pattern = re.compile(rf"\s*(?:{tag})", re.IGNORECASE)
    except re.error as error:
        raise InputError(f"tag {tag!r} is not a regular expression ({error})") from None
    if not pattern.groups:
        raise InputError(f"tag {tag!r} has no group for the document, such as '\\[(.+?)\\] '")
    return pattern


def _read(
    source: JsonLines, shelf: _Shelf, tag: re.Pattern[str] | None, form: str
) -> Iterator[Given]:
    empty = True
    for line, raw in source.rows():
        try:
            fields = _fields(source.record(raw))
        except RowError as error:
            raise InputError(f"{source.path}:{line}: {error}") from None
        empty = False
        yield _linked(fields, line, shelf, tag, form)
    if empty:
        raise InputError(f"{source.path}: no items; expected at least one row")


def _linked(
    fields: dict[str, str], line: int, shelf: _Shelf, tag: re.Pattern[str] | None, form: str
) -> Given:
    told_tag, named = _take_tag(fields, tag)
    item = Item(**{"form": form, "passage": "", **fields})
    if "passage" in fields:
        found, by, problem = shelf.passages.get(fields["passage"]), "passage", "no_such_passage"
    elif "document" in fields or named:
        by = "document" if "document" in fields else "tag"
        document = shelf.documents.get(fields.get("document") or named or "", [])
        found, problem = shelf.nearest(item, document), "no_such_document"
    else:
        found, by, problem = shelf.most_alike(item), "words", "no_alike_passage"
    # The id is of the words and the passage, unless the file gives one.
    own = fields.get("id", "")
    if found is None:
        item = replace(item, passage="", id=own)
        return Given(item, line, told_tag, None, problem)
    item = replace(item, passage=found.id, document=found.document, id=own)
    return Given(item, line, told_tag, by)


def _take_tag(fields: dict[str, str], tag: re.Pattern[str] | None) -> tuple[str | None, str | None]:
    """Take the tag off wherever an item begins with one: its words, and what it names."""
    if tag is None:
        return None, None
    taken: tuple[str | None, str | None] = (None, None)
    for name in ("text", "answer", "task", "question"):
        if (found := tag.match(fields.get(name, ""))) and len(found[0]) < len(fields[name]):
            fields[name] = fields[name][found.end() :]
            named = next((group for group in found.groups() if group), None)
            taken = (found[0].strip(), named)
    return taken


def _fields(record: Record) -> dict[str, str]:
    fields = {
        name: text_field(name, value, counted=name in _COUNTED).strip()
        for name in COLUMNS
        if (value := record.get(name)) is not None and value != ""
    }
    needed = ("question", "answer") if "question" in fields or "answer" in fields else ("text",)
    for name in needed:
        if not fields.get(name, "").strip():
            known = f"; the row has: {show_names(record)}"
            what = "'question' with 'answer', or 'text'" if name == "text" else repr(name)
            raise RowError("schema_missing", f"no {what}{known}")
    return fields


class _Shelf:
    """The passages, by what items may name."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        self.passages: Mapping[str, Passage] = {passage.id: passage for passage in passages}
        self.documents: dict[str, list[Passage]] = defaultdict(list)
        for passage in self.passages.values():
            if passage.document is not None:
                self.documents[passage.document].append(passage)

    def nearest(self, item: Item, passages: list[Passage]) -> Passage | None:
        """The passage that holds most of an item's words, the first of several."""
        if len(passages) < 2:
            return passages[0] if passages else None
        roots = told(item.content).content
        return max(passages, key=lambda p: sum(root in told(p.text).content for root in roots))

    def most_alike(self, item: Item) -> Passage | None:
        """The passage that holds most of an item's words, if it holds enough of them."""
        held: dict[int, float] = defaultdict(float)
        weights = {root: self._weight(root) for root in told(item.content).content}
        for root, weight in weights.items():
            for number in self._holders.get(root, ()):
                held[number] += weight
        if not held:
            return None
        best = max(held, key=lambda number: (held[number], -number))
        return self._listed[best] if held[best] >= LEAST * sum(weights.values()) else None

    @cached_property
    def _listed(self) -> list[Passage]:
        return list(self.passages.values())

    @cached_property
    def _holders(self) -> dict[str, list[int]]:
        """The passages that hold a word: built when the first item names none."""
        holders: dict[str, list[int]] = defaultdict(list)
        for number, passage in enumerate(self._listed):
            for root in told(passage.text).content:
                holders[root].append(number)
        return dict(holders)

    def _weight(self, root: str) -> float:
        return log(1 + len(self._listed) / (1 + len(self._holders.get(root, ()))))
