"""Leaving out facts that are there already, in the same words or nearly."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from lorepack import files
from lorepack.facts.aside import aside_of
from lorepack.facts.documents.duplicates import Seen
from lorepack.facts.documents.tokens import WORD
from lorepack.facts.fact import Fact
from lorepack.facts.looking.fingerprints import exact_form, fingerprint, form_of
from lorepack.facts.looking.passes import Mask, Passes, Progress, keep_apart
from lorepack.facts.looking.spool import Spool
from lorepack.facts.writing import write


@dataclass(frozen=True)
class DedupeReport:
    """What was left out."""

    out: str
    read: int
    facts: int
    """written"""
    duplicates: int
    """left out: question and answer of an earlier fact, in normal form"""
    near_duplicates: int
    """left out: nearly the question and the very answer of an earlier fact"""
    rejected_out: str

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return asdict(self)


def dedupe(
    path: Path | str,
    out: Path | str,
    *,
    near: float | None = None,
    rejected: Path | str | None = None,
    notes: list[str] | None = None,
    progress: Progress | None = None,
) -> DedupeReport:
    """Write the facts of a file without those that repeat an earlier one.

    Args:
        path: see `lorepack.facts.read`.
        out: ``.jsonl``, ``.csv`` or ``.parquet``.
        near: also leave out questions that share at least this part of their sequences of five
            words with an earlier one of the same answer, 0.5 to 1; None asks for equal ones.
        rejected: where the facts that are left out go, each with file, line, reason and the fact
            that was kept; None takes ``rejected.jsonl`` in the folder of ``out``, or a name of
            its own where that holds something else (`lorepack.facts.aside.aside_of`).
        notes: where to say which fields were left out.
        progress: called as ``progress(stage, rows)``.

    Raises:
        NotFoundError: there is no such file.
        InputError: a bad row; a ``near`` outside its range.
        WriteError: no space, no permission.
    """
    out = Path(out)
    aside = Path(rejected) if rejected else aside_of(out)
    keep_apart([path], [out, aside])
    source = Passes(path, notes, progress)
    with Spool() as spool, Seen(1.0 if near is None else near) as seen:
        job = _Dedupe(source, spool, seen if near is not None else None, out.name)
        with files.open_lines(aside) as handle:
            facts = write(out, job.facts(handle))
    return DedupeReport(
        str(out), source.rows, facts, job.duplicates, job.near_duplicates, str(aside)
    )


class _Dedupe:
    """Two passes: the numbers of all rows, then a look at those that may be repeats."""

    def __init__(self, source: Passes, spool: Spool, seen: Seen | None, out: str) -> None:
        self.source, self.spool, self.seen, self.out = source, spool, seen, out
        self.duplicates = self.near_duplicates = 0

    def facts(self, handle: IO[str]) -> Iterator[Fact]:
        """The facts that stay; the others are written to ``handle``."""
        exact, answers = self._numbers()
        firsts, repeated = _first_of_its_kind(exact)
        answered = _first_of_its_kind(answers)[1] if self.seen else np.zeros_like(repeated)
        for row, line, fact in self.source.chosen(np.ones(len(exact), dtype=bool)):
            kept = None
            if repeated[row]:
                kept = self._same(int(firsts[row]), row, fact)
                self.duplicates += kept is not None
            reason, alike = "duplicate", 1.0
            if kept is None and answered[row]:
                reason = "near-duplicate"
                kept, alike = self._nearly_the_same(row, fact)
                self.near_duplicates += kept is not None
            if kept is None:
                if repeated[row] or answered[row]:
                    self.spool.put(row, fact, line=line)
                yield fact
            else:
                handle.write(self._rejected(line, fact, reason, alike, kept) + "\n")

    def _numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """The fact and the answer of every row as numbers."""
        exact, answers = array("Q"), array("Q")
        for _, fact in self.source.whole():
            exact.append(fingerprint(exact_form(fact)))
            if self.seen:
                answers.append(fingerprint(form_of(fact.answer)))
        return np.frombuffer(exact, np.uint64), np.frombuffer(answers, np.uint64)

    def _same(self, first: int, row: int, fact: Fact) -> int | None:
        """The row of the equal fact that is kept; None when this is the first."""
        if first == row or first not in self.spool:
            return None
        # Numbers may agree by chance, words do not.
        return first if exact_form(self.spool.get(first)[0]) == exact_form(fact) else None

    def _nearly_the_same(self, row: int, fact: Fact) -> tuple[int | None, float]:
        assert self.seen is not None
        found = self.seen.like(_answered(fact), str(row))
        return (int(found[0]), found[1]) if found else (None, 0.0)

    def _rejected(self, line: int, fact: Fact, reason: str, alike: float, kept: int) -> str:
        first, place = self.spool.get(kept)
        row = {
            "out": self.out,
            "file": str(self.source.path),
            "line": line,
            "reason": reason,
            "similarity": round(alike, 4),
            "row": fact.to_json(),
            "kept": {**place, "row": first.to_json()},
        }
        return json.dumps(row, ensure_ascii=False)


def _first_of_its_kind(numbers: np.ndarray) -> tuple[np.ndarray, Mask]:
    """For every row the first row with its number, and whether there are several."""
    _, first, place, counts = np.unique(
        numbers, return_index=True, return_inverse=True, return_counts=True
    )
    return first[place], counts[place] > 1


def _answered(fact: Fact) -> str:
    """The words of a question, each behind the answer as a number.

    Every sequence of five words then holds the answer: questions with different answers have
    none in common.
    """
    answer = f"{fingerprint(form_of(fact.answer)):016x}"
    return " ".join(answer + word for word in WORD.findall(fact.question.lower()))
