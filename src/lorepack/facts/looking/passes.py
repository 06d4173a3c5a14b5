"""A file of facts that is gone through twice: once whole, once for the rows that were chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lorepack.errors import InputError
from lorepack.facts.fact import Fact
from lorepack.facts.reading import numbered
from lorepack.facts.rows import RowError, to_fact
from lorepack.facts.sources import open_source

EVERY = 20_000  # rows between two calls of progress

Progress = Callable[[str, int], None]
"""called as ``progress(stage, rows)``"""
Mask = np.ndarray[Any, np.dtype[np.bool_]]


def keep_apart(read: Iterable[Path | str], written: Iterable[Path | str | None]) -> None:
    """Refuse to write two files under one name, or beside the result over what is read.

    Args:
        read: the files that are read.
        written: the result first, which may replace what was read, then what is written beside.

    Raises:
        InputError: two names are the same.
    """
    result, *beside = [Path(path).resolve() for path in written if path is not None]
    taken = {result, *(Path(path).resolve() for path in read)}
    for path in beside:
        if path in taken:
            raise InputError(f"{path} is needed twice; give files of different names")
        taken.add(path)


class Passes:
    """A file of facts and how often it was read.

    Rows are counted from 0, without blank lines; lines are those of the file.
    """

    def __init__(
        self, path: Path | str, notes: list[str] | None = None, progress: Progress | None = None
    ) -> None:
        self.path = Path(path)
        self.rows = 0
        """rows of the first pass"""
        self._source = open_source(path)
        self._notes = notes
        self._progress = progress or (lambda stage, rows: None)

    def whole(self, stage: str = "reading") -> Iterator[tuple[int, Fact]]:
        """The first pass: ``(line, fact)`` of every row.

        Raises:
            InputError: the first bad row, as ``file:line: …``.
        """
        self.rows = 0
        for line, fact in numbered(self._source, self._notes):
            self.rows += 1
            if self.rows % EVERY == 0:
                self._progress(stage, self.rows)
            yield line, fact
        self._progress(stage, self.rows)

    def chosen(self, wanted: Mask, stage: str = "writing") -> Iterator[tuple[int, int, Fact]]:
        """A later pass: ``(row, line, fact)`` where ``wanted[row]``; the rest is not parsed.

        Raises:
            InputError: the file is no longer what it was.
        """
        row, kept = -1, wanted.tolist()
        for row, (line, raw) in enumerate(self._source.rows()):
            if row >= len(kept):
                break
            if row % EVERY == 0:
                self._progress(stage, row)
            if not kept[row]:
                continue
            try:
                yield row, line, to_fact(self._source.record(raw))
            except RowError as error:
                raise InputError(f"{self.path}:{line}: {error}") from None
        if row + 1 != len(kept):
            raise InputError(f"{self.path} changed while it was read; run the command again")
        self._progress(stage, len(kept))
