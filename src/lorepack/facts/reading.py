"""Reading facts from a file: the first bad row stops, by name of file and line."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lorepack.errors import InputError, suggest
from lorepack.facts.fact import Fact
from lorepack.facts.rows import KNOWN, RowError, to_fact, unknown_fields
from lorepack.facts.sources import Source, open_source


class FactsWarning(UserWarning):
    """Something in a file of facts that was read differently than its writer may have meant."""


def read(path: Path | str, notes: list[str] | None = None) -> Iterator[Fact]:
    """Stream the facts of a file, in its order.

    Fields that no fact has are left out; what was left out is said once, at the end.

    Args:
        path: JSONL, CSV (each also ``.gz``) or Parquet, with the columns of `Fact`; or a table
            with one column ``text`` that holds ``Question: … Answer: …``.
        notes: where to say what was left out; without it a `FactsWarning` is given.

    Returns:
        An iterator; memory stays the same for any size.

    Raises:
        NotFoundError: there is no such file.
        InputError: the first bad row, as ``file:line: …``; no facts; not a known format.
    """
    return (fact for _, fact in numbered(open_source(path), notes))


def load(path: Path | str, notes: list[str] | None = None) -> list[Fact]:
    """All facts of a file, ids unique.

    A row that repeats question and answer of an earlier one, under the same id, is set aside;
    how many were is said.

    Args:
        path: see `read`.
        notes: where to say what was left out or set aside; without it a `FactsWarning` is given.

    Returns:
        The facts in the file's order.

    Raises:
        NotFoundError: there is no such file.
        InputError: as in `read`; or two different facts have one id.
    """
    facts: dict[str, tuple[int, Fact]] = {}
    repeats: list[tuple[int, int]] = []
    for line, fact in numbered(open_source(path), notes):
        earlier, known = facts.setdefault(fact.id, (line, fact))
        if known is fact:
            continue
        if _squeezed(known) != _squeezed(fact):
            raise InputError(
                f"{path}:{line}: id {fact.id!r} also stands at line {earlier} for another fact "
                f"({known.question[:60]!r}); ids must differ, or be left out to be derived"
            )
        repeats.append((line, earlier))
    if repeats:
        line, earlier = repeats[0]
        say(
            f"{path}: {len(repeats):,} repeated facts set aside "
            f"(the first: line {line} repeats line {earlier})",
            notes,
        )
    return [fact for _, fact in facts.values()]


def say(message: str, notes: list[str] | None) -> None:
    """Keep a message in ``notes``, or warn with it."""
    if notes is None:
        warnings.warn(message, FactsWarning, stacklevel=3)
    else:
        notes.append(message)


def numbered(source: Source, notes: list[str] | None = None) -> Iterator[tuple[int, Fact]]:
    """Stream ``(line, fact)``; see `read`.

    Raises:
        InputError: the first bad row, as ``file:line: …``; or there are no facts.
    """
    ignored: Counter[str] = Counter()
    count = 0
    for line, raw in source.rows():
        try:
            record = source.record(raw)
            fact = to_fact(record)
        except RowError as error:
            raise InputError(f"{source.path}:{line}: {error}") from None
        ignored.update(unknown_fields(record))
        count += 1
        yield line, fact
    if not count:
        raise InputError(f"{source.path}: no facts; expected at least one row")
    for name, rows in sorted(ignored.items()):
        near = suggest(name, KNOWN)
        hint = near if near.startswith("; did") else ""
        say(f"{source.path}: field {name!r} ignored in {rows:,} rows{hint}", notes)


def _squeezed(fact: Fact) -> tuple[str, str]:
    return " ".join(fact.question.split()), " ".join(fact.answer.split())
