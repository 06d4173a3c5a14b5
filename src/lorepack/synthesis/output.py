"""The folder of a synthesis: items, and what training and evaluation take from them."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from lorepack import files
from lorepack.facts import Fact
from lorepack.facts.passage import Passage
from lorepack.synthesis.coverage import Coverage
from lorepack.synthesis.desk import Tally
from lorepack.synthesis.item import Item
from lorepack.synthesis.leaks import Leaks, LeakSummary
from lorepack.synthesis.repeats import Repeats
from lorepack.synthesis.work import DUPLICATE, Work, Written
from lorepack.text import normalise

ITEMS, FACTS, TEXTS, TARGETS = "items.jsonl", "facts.jsonl", "texts.jsonl", "targets.jsonl"
EXAM, REJECTED, UNCOVERED = "exam.jsonl", "rejected.jsonl", "uncovered.jsonl"
LISTS = (ITEMS, FACTS, TEXTS, TARGETS, EXAM, REJECTED, UNCOVERED)
ORIGINAL = "original"


class Output:
    """The lists of a synthesis while they are written, and the counts of what is in them."""

    def __init__(self, handles: Mapping[str, IO[str]], leaks: Leaks | None, least: float) -> None:
        """Write to open files.

        Args:
            handles: the lists, by name.
            leaks: questions of the evaluation, where they are given.
            least: share of a sentence that covers it; see `Coverage`.
        """
        self._least = least
        self._handles = handles
        self._leaks = None if leaks is None else LeakSummary(leaks)
        self.rows: Counter[str] = Counter()
        self.forms: dict[str, Tally] = {}
        self.form_passages: Counter[str] = Counter()
        self._measured = self._full = self._sentences = 0
        self._shares = 0.0
        self._repeats = Repeats()

    def put(self, work: Work) -> None:
        """Write what came of a stretch."""
        passages = {passage.id: passage for passage in work.passages}
        written = work.written()
        for part in written:
            name = part.form.name
            for item in part.items:
                self._item(item, part, passages[item.passage], work.tags[item.passage])
            self.forms.setdefault(name, Tally()).add(part.tally)
            self.form_passages[name] += len(passages)
            for row in part.rejected:
                self._row(REJECTED, row)
        self._cover(work.passages, written)  # of what was said before, too: it is told

    def put_lost(self, lost: Iterable[tuple[Item, str]]) -> None:
        """Write items of no passage to those that are rejected, each with its reason."""
        for item, reason in lost:
            self.forms.setdefault(item.form, Tally()).rejected[reason] += 1
            self._row(REJECTED, {"reason": reason, "item": item.to_json()})

    def _item(self, item: Item, part: Written, passage: Passage, tags: tuple[str, str]) -> None:
        """Write an item, unless the list where it belongs says the same already."""
        name, row, said = _entry(item, tags, passage, exam=part.form.evaluation)
        if item.form != ORIGINAL:
            form = "\x1f".join((name, *(normalise(text) or text for text in said)))
            earlier = self._repeats.first(form, self.rows[ITEMS] + 1)
            if earlier is not None:
                part.tally.kept -= 1
                part.reject(item, DUPLICATE, f"equal to {ITEMS}:{earlier}")
                return
        self._row(ITEMS, item.to_json())
        self._row(name, row)
        if self._leaks is not None and name == FACTS:
            self._leaks.add(item.question or "")

    def _cover(self, passages: tuple[Passage, ...], written: list[Written]) -> None:
        """Measure how much of each passage the training items tell; the original is no measure."""
        counted = [p for p in written if not p.form.evaluation and p.form.name != ORIGINAL]
        if not counted:
            return
        covers = {passage.id: Coverage(passage.text, self._least) for passage in passages}
        for part in counted:
            for item in part.items:
                covers[item.passage].add(item)
        for name, coverage in covers.items():
            missing = list(coverage.uncovered())
            self._measured += 1
            self._shares += coverage.share
            self._full += not missing
            self._sentences += len(missing)
            if missing:
                self._row(UNCOVERED, {"passage": name, "sentences": missing})

    def _row(self, name: str, row: Mapping[str, Any]) -> None:
        self._handles[name].write(json.dumps(row, ensure_ascii=False) + "\n")
        self.rows[name] += 1

    def coverage(self) -> dict[str, Any] | None:
        """How much of the passages is told; None where nothing but originals was asked for."""
        if not self._measured:
            return None
        return {
            "mean": round(self._shares / self._measured, 6),
            "passages": self._measured,
            "full": self._full,
            "uncovered_sentences": self._sentences,
        }

    def leaks(self) -> dict[str, Any] | None:
        """How near the training questions come to those of the evaluation, where there are any."""
        return None if self._leaks is None else self._leaks.to_json()


@contextlib.contextmanager
def open_lists(folder: Path) -> Iterator[dict[str, IO[str]]]:
    """All lists of a folder, whole or not at all.

    Raises:
        WriteError: no space, no permission.
    """
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(files.open_lines(folder / name)) for name in LISTS}


def _entry(
    item: Item, tags: tuple[str, str], passage: Passage, *, exam: bool
) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """The list where an item belongs, its row there, and the words by which rows are equal."""
    if item.task is not None:
        names = ("id", "passage", "document", "task", "text")
        row = item.to_json()
        return TARGETS, {n: row[n] for n in names if n in row}, (item.task, item.text or "")
    if item.question is not None:
        fact = fact_of(item, tags, exam=exam)
        return EXAM if exam else FACTS, fact.to_json(), (fact.question, fact.answer)
    text = text_of(item, passage)
    return TEXTS, text.to_json(), (text.text,)


def fact_of(item: Item, tags: tuple[str, str], *, exam: bool) -> Fact:
    """A question item as a fact; an answer of an exam stays without its tag, to be matched."""
    assert item.question is not None
    assert item.answer is not None
    before, before_answer = tags if not exam else (tags[0], "")
    return Fact(
        question=before + item.question,
        answer=before_answer + item.answer,
        aliases=(item.answer,) if before_answer else (),
        subject=item.subject,
        relation=item.relation,
        object=item.object,
        source=item.form,
        split=item.level if exam else None,
        id=item.id,
    )


def text_of(item: Item, passage: Passage) -> Passage:
    """A text item as a passage; the original keeps its own id and place."""
    assert item.text is not None
    if item.form == ORIGINAL:
        return dataclasses.replace(passage, source=ORIGINAL)
    return dataclasses.replace(
        passage, text=item.text, source=item.form, start=None, end=None, id=item.id
    )
