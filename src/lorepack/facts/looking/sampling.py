"""Drawing some facts of a file: uniform, or the same number from every stratum."""

from __future__ import annotations

from array import array
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lorepack.errors import InputError, suggest
from lorepack.facts.looking.fingerprints import exact_form, fingerprint, seeded
from lorepack.facts.looking.passes import Mask, Passes, Progress
from lorepack.facts.looking.popularity import BANDS
from lorepack.facts.looking.relations import NONE
from lorepack.facts.looking.strata import Groups, Names, Values
from lorepack.facts.writing import write

BY = ("none", "relation", "popularity")


@dataclass(frozen=True)
class SampleReport:
    """What was drawn."""

    out: str
    facts: int
    """drawn"""
    of: int
    """facts of the file"""
    strata: dict[str, int]
    """drawn from each; empty for a uniform sample"""

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return asdict(self)


def sample(
    path: Path | str,
    out: Path | str,
    size: int,
    *,
    by: str = "none",
    seed: int = 0,
    notes: list[str] | None = None,
    progress: Progress | None = None,
) -> SampleReport:
    """Write a random part of a file, in the file's order.

    Every fact gets a number from its question, its answer and the seed, and the lowest are
    drawn: a smaller sample is part of a larger one, and facts that are added take few places.

    Args:
        path: see `lorepack.facts.read`.
        out: ``.jsonl``, ``.csv`` or ``.parquet``.
        size: facts to draw.
        by: ``none`` draws from all alike; ``relation`` and ``popularity`` (head, torso, tail)
            draw the same number from each, and more from the others where one has too few.
        seed: which.
        notes: where to say which fields were left out.
        progress: called as ``progress(stage, rows)``.

    Raises:
        NotFoundError: there is no such file.
        InputError: more than there are; a bad row; no popularity to draw by.
        WriteError: no space, no permission.
    """
    if by not in BY:
        raise InputError(f"no strata {by!r}{suggest(by, BY)}")
    if size < 1:
        raise InputError(f"a sample of {size:,}; expected 1 or more")
    source = Passes(path, notes, progress)
    numbers, groups, names = _first_pass(source, by)
    if size > source.rows:
        raise InputError(f"a sample of {size:,} from {path}, which has {source.rows:,} facts")
    wanted = _lowest(seeded(numbers, seed), groups, size)
    count = write(out, (fact for _, _, fact in source.chosen(wanted)))
    drawn = np.bincount(groups[wanted], minlength=len(names)).tolist()
    strata = dict(zip(names, drawn, strict=True)) if by != "none" else {}
    return SampleReport(str(out), count, source.rows, strata)


def _first_pass(source: Passes, by: str) -> tuple[np.ndarray, Groups, list[str]]:
    """A number and a group for every row, and what the groups are called."""
    numbers, names, values = array("Q"), Names(), Values(source.path)
    for line, fact in source.whole():
        numbers.append(fingerprint(exact_form(fact)))
        if by == "popularity":
            values.add(line, fact.popularity)
        else:
            names.add(fact.relation if by == "relation" else None)
    drawn = np.frombuffer(numbers, np.uint64)
    if by == "popularity":
        return drawn, values.bands(), list(BANDS)
    groups, found = names.groups()
    return drawn, groups, [name or NONE for name in found]


def _lowest(numbers: np.ndarray, groups: Groups, size: int) -> Mask:
    """The rows with the lowest numbers, as many from each group as there are and as is fair."""
    wanted = np.zeros(len(numbers), dtype=bool)
    order = np.lexsort((numbers, groups))
    sizes = np.bincount(groups)
    firsts = np.cumsum(sizes) - sizes
    for group, count in enumerate(fair_counts(sizes.tolist(), size)):
        wanted[order[firsts[group] : firsts[group] + count]] = True
    return wanted


def fair_counts(sizes: list[int], whole: int) -> list[int]:
    """Share a number among groups: the same to each, more to the others where one has too few.

    Args:
        sizes: of the groups, together at least ``whole``.
        whole: the number; what does not divide evenly goes to the largest groups.
    """
    counts, left = [0] * len(sizes), whole
    for done, group in enumerate(sorted(range(len(sizes)), key=lambda g: sizes[g])):
        counts[group] = min(sizes[group], left // (len(sizes) - done))
        left -= counts[group]
    assert not left or sum(sizes) < whole
    return counts
