"""Parting a file of facts: each goes to one part, and what belongs together stays together."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lorepack.errors import InputError, suggest
from lorepack.facts.fact import Fact
from lorepack.facts.looking.components import Components
from lorepack.facts.looking.fingerprints import Numbers, exact_form, fingerprint, form_of, seeded
from lorepack.facts.looking.passes import Passes, Progress
from lorepack.facts.looking.popularity import BANDS
from lorepack.facts.looking.strata import Groups, Names, Values
from lorepack.facts.sources import format_of
from lorepack.facts.writing import write

BY = ("fact", "relation", "popularity")
PARTS = {"train": 0.8, "dev": 0.1, "test": 0.1}
"""without other wishes"""
_UPPER = 1 << 63


@dataclass(frozen=True)
class SplitReport:
    """The parts that were written."""

    facts: int
    parts: dict[str, dict[str, Any]]
    """for each its ``out``, ``facts``, ``share`` that it got and ``asked`` (None: no wish)"""

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return asdict(self)


def split(
    path: Path | str,
    folder: Path | str,
    parts: Mapping[str, float] | None = None,
    *,
    by: str = "fact",
    seed: int = 0,
    suffix: str = ".jsonl",
    notes: list[str] | None = None,
    progress: Progress | None = None,
) -> SplitReport:
    """Write the parts of a file, each in the file's order, disjoint and together everything.

    Args:
        path: see `lorepack.facts.read`.
        folder: where ``NAME.jsonl`` of every part goes.
        parts: name to share, together 1; None takes `PARTS`, by popularity head, torso and tail
            of a third of the popularity each.
        by: ``fact``: facts that share a question (in any of their wordings) or subject and
            relation stay together; parts come near their shares by chance, and a fact that is
            added moves no other, unless it joins some. ``relation``: whole relations, each to
            the part that lacks most. ``popularity``: the first part has the most popular.
        seed: which facts or relations go where.
        suffix: of the parts' names, which says their format.
        notes: where to say which fields were left out.
        progress: called as ``progress(stage, rows)``.

    Raises:
        NotFoundError: there is no such file.
        InputError: shares that are not 1 together; a part that would be empty or replace the
            file itself; a bad row; no popularity to part by.
        WriteError: no space, no permission.
    """
    if by not in BY:
        raise InputError(f"cannot split by {by!r}{suggest(by, BY)}")
    asked = _asked(parts, by)
    outs = {name: Path(folder) / f"{name}{suffix}" for name in asked}
    source = Passes(path, notes, progress)
    for out in outs.values():
        format_of(out)
        if out.exists() and out.samefile(path):
            raise InputError(f"{out} is the file to split; give another folder")
    groups = _BY[by](source, asked, seed)
    counts = np.bincount(groups, minlength=len(asked)).tolist()
    _refuse_empty(asked, counts, by)
    for number, out in enumerate(outs.values()):
        write(out, _chosen(source, groups == number, out.stem))
    report = {
        name: {"out": str(outs[name]), "facts": n, "share": n / source.rows, "asked": share}
        for (name, share), n in zip(asked.items(), counts, strict=True)
    }
    return SplitReport(source.rows, report)


def _chosen(source: Passes, wanted: Any, name: str) -> Iterator[Fact]:
    return (fact for _, _, fact in source.chosen(wanted, f"writing {name}"))


def _asked(parts: Mapping[str, float] | None, by: str) -> dict[str, float | None]:
    if not parts:
        return dict.fromkeys(BANDS) if by == "popularity" else dict(PARTS)
    for name, share in parts.items():
        if not name or Path(name).name != name or name.startswith("."):
            raise InputError(f"part {name!r}: expected a name for a file")
        if not 0 < share <= 1:
            raise InputError(f"part {name}={share:g}: expected a share above 0, up to 1")
    whole = sum(parts.values())
    if abs(whole - 1) > 1e-6:
        raise InputError(f"the shares of the parts are {whole:g} together; expected 1")
    return dict(parts)


def _refuse_empty(asked: Iterable[str], counts: Sequence[int], by: str) -> None:
    for name, count in zip(asked, counts, strict=True):
        if not count:
            raise InputError(
                f"part {name!r} would be empty: {sum(counts):,} facts by {by} do not fill "
                f"{len(counts)} parts; give fewer parts, other shares or another --seed"
            )


def _by_fact(source: Passes, asked: Mapping[str, float | None], seed: int) -> Groups:
    components = Components()
    for _, fact in source.whole():
        components.add(_keys(fact))
    drawn = seeded(components.labels(), seed)
    return _cut(drawn, np.cumsum([share or 0.0 for share in asked.values()]))


def _keys(fact: Fact) -> set[int]:
    """What a fact shares with those it stays with: its wordings, its subject and relation.

    Subject and relation are the lower numbers: the lowest decides where the facts go, so that
    one more wording moves nothing.
    """
    wordings = (fact.question, *fact.paraphrases)
    keys = {fingerprint(form_of(text)) | _UPPER for text in wordings}
    if fact.subject and fact.relation:
        about = f"{form_of(fact.subject)}\x1f{form_of(fact.relation)}"
        keys.add(fingerprint(about) & ~_UPPER)
    return keys


def _cut(drawn: Numbers, ends: Any) -> Groups:
    """The part of every number when all 64-bit numbers are cut at these shares."""
    shares = (drawn >> np.uint64(11)) * 2.0**-53
    return np.minimum(np.searchsorted(ends, shares, side="right"), len(ends) - 1)


def _by_relation(source: Passes, asked: Mapping[str, float | None], seed: int) -> Groups:
    names = Names()
    for _, fact in source.whole():
        names.add(fact.relation)
    groups, found = names.groups()
    sizes = np.bincount(groups).tolist()
    numbers = np.array([fingerprint(name or "") for name in found], dtype=np.uint64)
    left = [(share or 0.0) * source.rows for share in asked.values()]
    parts = np.zeros(len(found), dtype=np.int64)
    for group in np.argsort(seeded(numbers, seed), kind="stable").tolist():
        part = max(range(len(left)), key=lambda part: left[part])
        parts[group] = part
        left[part] -= sizes[group]
    return parts[groups]


def _by_popularity(source: Passes, asked: Mapping[str, float | None], seed: int) -> Groups:
    values, numbers = Values(source.path), array("Q")
    for line, fact in source.whole():
        values.add(line, fact.popularity)
        numbers.append(fingerprint(exact_form(fact)))
    shares = [share for share in asked.values() if share is not None]
    if not shares:
        return values.bands()
    drawn = seeded(np.frombuffer(numbers, np.uint64), seed)  # orders what is equally popular
    order = np.lexsort((drawn, -values.array()))
    ends = np.rint(np.cumsum(shares) * source.rows).astype(np.int64)
    ends[-1] = source.rows
    parts = np.empty(source.rows, dtype=np.int64)
    parts[order] = np.searchsorted(ends, np.arange(source.rows), side="right")
    return parts


_BY = {"fact": _by_fact, "relation": _by_relation, "popularity": _by_popularity}
