"""Joining files of facts: what is the same becomes one, what contradicts itself is said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from lorepack import files
from lorepack.errors import InputError, suggest
from lorepack.facts.fact import Fact
from lorepack.facts.looking.components import Components
from lorepack.facts.looking.fingerprints import fingerprint, form_of
from lorepack.facts.looking.passes import Passes, Progress, keep_apart
from lorepack.facts.looking.spool import Spool
from lorepack.facts.looking.uniting import Conflict, Placed, clusters, resolved
from lorepack.facts.writing import write

PREFER = ("first", "last", "none")


@dataclass(frozen=True)
class MergeReport:
    """What was joined."""

    out: str
    read: list[tuple[str, int]]
    """each file and its facts"""
    facts: int
    """written"""
    united: int
    """facts that became part of another"""
    conflicts: int
    """facts that contradict another one"""
    dropped: int
    """facts that were given up for it"""
    conflicts_out: str | None

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return asdict(self)


def merge(
    paths: Sequence[Path | str],
    out: Path | str,
    *,
    prefer: str | None = None,
    conflicts: Path | str | None = None,
    notes: list[str] | None = None,
    progress: Progress | None = None,
) -> MergeReport:
    """Write the facts of several files as one, in their order.

    Facts that share the question and an accepted answer, or id and answer, become one: the first,
    with the others' answers as aliases and their wordings as paraphrases. Facts that share the
    question or the id and not the answer contradict each other.

    Args:
        paths: see `lorepack.facts.read`.
        out: ``.jsonl``, ``.csv`` or ``.parquet``.
        prefer: of facts that contradict each other, keep the ``first`` or the ``last`` in the
            order of the files, or ``none``; None refuses to write where there are any.
        conflicts: where they go, a JSON object a line, also where nothing else is written.
        notes: where to say which fields were left out.
        progress: called as ``progress(stage, rows)``.

    Raises:
        NotFoundError: there is no such file.
        InputError: a bad row; contradictions where none was told to be kept.
        WriteError: no space, no permission.
    """
    if prefer not in (None, *PREFER):
        raise InputError(f"cannot prefer {prefer!r}{suggest(prefer, PREFER)}")
    keep_apart(paths, [out, conflicts])
    sources = [Passes(path, notes, progress) for path in paths]
    with Spool() as spool:
        job = _Merge(sources, prefer or "none", spool)
        facts = write(out, _refusing(job, conflicts, prefer))
    return MergeReport(
        out=str(out),
        read=[(str(source.path), source.rows) for source in sources],
        facts=facts,
        united=job.united,
        conflicts=job.conflicts,
        dropped=job.dropped,
        conflicts_out=str(conflicts) if conflicts else None,
    )


def _refusing(job: _Merge, conflicts: Path | str | None, prefer: str | None) -> Iterator[Fact]:
    """The facts of a merge; what contradicts itself is written beside, and may stop it."""
    if conflicts is None:
        yield from job.facts()
    else:
        with files.open_lines(conflicts) as handle:
            job.aside = handle
            yield from job.facts()
    if job.first is not None and prefer is None:
        raise InputError(_refusal(job.first, job.conflicts, conflicts))


def _refusal(first: Conflict, count: int, conflicts: Path | str | None) -> str:
    one, other = first.one, first.other
    what = "answer one question" if first.kind == "question" else "give one id to facts that answer"
    more = f", and {count - 1:,} more" if count > 1 else ""
    where = f" ({conflicts} lists all)" if conflicts else " (--conflicts FILE lists all)"
    return (
        f"{one.place} and {other.place} {what} differently, {one.fact.answer[:40]!r} and "
        f"{other.fact.answer[:40]!r}{more}{where}; --prefer first, last or none says what to keep"
    )


class _Merge:
    """Two passes: the numbers of all rows, then the rows of each group together."""

    def __init__(self, sources: list[Passes], prefer: str, spool: Spool) -> None:
        self.sources, self.prefer, self.spool = sources, prefer, spool
        self.united = self.conflicts = self.dropped = 0
        self.first: Conflict | None = None
        self.aside: IO[str] | None = None
        """where conflicts are written as they are found"""

    def facts(self) -> Iterator[Fact]:
        """The facts of the merged file."""
        labels = self._labels()
        order = np.argsort(labels, kind="stable")
        ranked = labels[order]
        follows = np.concatenate([[False], ranked[1:] == ranked[:-1]])
        later = np.zeros(len(labels), dtype=bool)
        later[order[follows]] = True  # rows of a group after its first
        self._put_aside(later)
        # Where in `order` the later rows of a first row begin, and how many they are.
        firsts = np.flatnonzero(~follows)
        sizes = np.diff(np.append(firsts, len(order)))
        begins, counts = np.zeros(len(labels), np.int64), np.zeros(len(labels), np.int32)
        begins[order[firsts]], counts[order[firsts]] = firsts + 1, sizes - 1
        for one in self._placed(~later, "writing"):
            begin, count = int(begins[one.row]), int(counts[one.row])
            if not count:
                yield one.fact
                continue
            others = [self._fetched(row) for row in order[begin : begin + count].tolist()]
            yield from self._judged([one, *others])

    def _labels(self) -> np.ndarray:
        rows = Components()
        for source in self.sources:
            for _, fact in source.whole():
                question = fingerprint(form_of(fact.question))
                rows.add((question, fingerprint(f"id\x1f{fact.id}")))
        return rows.labels()

    def _put_aside(self, later: np.ndarray) -> None:
        if later.any():
            for one in self._placed(later, "putting aside"):
                self.spool.put(one.row, one.fact, file=one.file, line=one.line)

    def _placed(self, wanted: np.ndarray, stage: str) -> Iterator[Placed]:
        start = 0
        for source in self.sources:
            part = wanted[start : start + source.rows]
            for row, line, fact in source.chosen(part, stage):
                yield Placed(start + row, str(source.path), line, fact)
            start += source.rows

    def _fetched(self, row: int) -> Placed:
        fact, place = self.spool.get(row)
        return Placed(row, fact=fact, **place)

    def _judged(self, group: list[Placed]) -> Iterator[Fact]:
        found = clusters(group)
        kept = resolved(found, self.prefer, self._note)
        members = sum(len(cluster.members) for cluster in kept)
        self.united += members - len(kept)
        self.dropped += len(group) - members
        for cluster in kept:
            yield cluster.united()

    def _note(self, conflict: Conflict) -> None:
        self.conflicts += 1
        self.first = self.first or conflict
        if self.aside is not None:
            self.aside.write(json.dumps(_row(conflict), ensure_ascii=False) + "\n")


def _row(conflict: Conflict) -> dict[str, Any]:
    sides = {
        name: {"file": one.file, "line": one.line, "fact": one.fact.to_json()}
        for name, one in (("one", conflict.one), ("other", conflict.other))
    }
    return {"kind": conflict.kind, "kept": conflict.kept, **sides}
