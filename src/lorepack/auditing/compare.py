"""Several audits in one table: each adapter beside its own base, pairs tested, seeds as a spread.

Pairs are compared on the facts that both audits asked: those that both adapters were trained on,
and those that neither had in its mix. Each pair gets McNemar's exact test over facts, its p-value
by Holm over all pairs of the same set, and the difference of the mean shares of right answers
with a bootstrap interval over facts: whole facts are drawn, so that answers of one fact stay
together.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorepack.auditing.mcnemar import holm, majority, mcnemar
from lorepack.auditing.reliability import bootstrap
from lorepack.auditing.result import AuditResult

ALL_PAIRS = 64
"""rows of which every pair is compared; of more, each with the first"""
FIGURES = (
    "reliability", "generality", "positive_shift", "negative_shift", "spillover_positive",
    "spillover_negative", "neutral_kl", "refusals_before", "refusals_after", "known_before",
    "known_after",
)  # fmt: skip
"""what is summed up over seeds"""
_LEFT_OUT = ("seconds", "out", "notes")  # they differ between equal runs, or stand elsewhere
_KNOWN = ("HighlyKnown", "MaybeKnown", "WeaklyKnown")


@dataclass(frozen=True, eq=False)
class Entry:
    """One adapter of a comparison."""

    name: str
    audit: AuditResult
    base: Mapping[str, Any]
    """``name`` and ``fingerprint`` of its base"""
    trained: frozenset[str] = frozenset()
    rehearsed: frozenset[str] = frozenset()
    settings: Mapping[str, Any] = field(default_factory=dict)
    """recipe, mix and data of its training, without the seed; empty where nobody knows"""
    seed: int | None = None


def document(
    entries: Sequence[Entry], *, seed: int = 0, resamples: int = 2000, notes: Sequence[str] = ()
) -> dict[str, Any]:
    """``compare.json``.

    Args:
        entries: the adapters, in the order of the table; names differ.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        notes: remarks to keep.
    """
    assert len({entry.name for entry in entries}) == len(entries)
    bases = {entry.base["fingerprint"]: dict(entry.base) for entry in entries}
    rows = [_row(entry) for entry in entries]
    remarks = [*notes, *_unlike(entries)]
    if len(entries) > ALL_PAIRS:
        remarks.append(
            f"{len(entries)} adapters make too many pairs: each is compared with {entries[0].name}"
        )
    return {
        "schema": 1,
        "model": next(iter(bases.values())) if len(bases) == 1 else None,
        "rows": rows,
        "pairs": pairs(entries, seed=seed, resamples=resamples),
        "groups": groups(entries, rows),
        "test": {
            "name": "McNemar, exact, two-sided",
            "unit": "a fact; right when more than half of its greedy answers are",
            "correction": "Holm, over the pairs of a set",
        },
        "notes": remarks,
    }


def _unlike(entries: Sequence[Entry]) -> Iterator[str]:
    """Remarks on adapters of one base that were not asked as the first was."""
    first = entries[0]
    for entry in entries[1:]:
        if entry.base["fingerprint"] != first.base["fingerprint"]:
            continue
        mine, others = (one.audit.after.document["inputs"] for one in (entry, first))
        parts = [part for part in ("facts", "prompts", "settings") if mine[part] != others[part]]
        if parts:
            yield (
                f"{entry.name} was not asked as {first.name} was ({', '.join(parts)} differ): "
                "their difference holds that, too"
            )


def _row(entry: Entry) -> dict[str, Any]:
    """One line of the table: the audit's figures, and its intervals where it has them."""
    audit, found = entry.audit, entry.audit.document
    figures = {k: v for k, v in audit.to_json().items() if k not in _LEFT_OUT}
    reliability, shifts = found.get("reliability") or {}, found["shifts"]
    intervals = {
        "reliability": _interval(reliability),
        "generality": _interval(found.get("generality") or {}),
        **{
            f"{kind}_{side}": _interval(shifts[part][side])
            for kind, part in (("shift", "all"), ("spillover", "untrained"))
            for side in ("positive", "negative")
        },
    }
    return {
        "name": entry.name,
        "base": entry.base["name"],
        "fingerprint": entry.base["fingerprint"],
        "seed": entry.seed,
        **figures,
        "rehearsed": found.get("rehearsed", 0),
        "known_before": _known(audit.categories, audit.facts),
        "known_after": _known(audit.categories_after, audit.facts),
        "intervals": {name: value for name, value in intervals.items() if value},
        "notes": list(audit.notes),
    }


def _interval(part: Mapping[str, Any]) -> list[float] | None:
    low, high = part.get("low"), part.get("high")
    return None if low is None or high is None else [low, high]


def _known(categories: Mapping[str, int], facts: int) -> float:
    return sum(categories[name] for name in _KNOWN) / facts


@dataclass(frozen=True)
class _Answers:
    """One adapter's answers, by the place of each fact among all facts of the comparison."""

    k: NDArray[np.int32]
    """``(all facts,)`` right greedy answers; 0 where it was not asked"""
    n: NDArray[np.int32]
    """``(all facts,)`` greedy answers asked for; 0 where it was not asked"""
    sets: dict[str, NDArray[np.bool_]]
    """``(all facts,)`` whether a fact was trained, and whether it was in the mix not at all"""


def pairs(
    entries: Sequence[Entry], *, seed: int = 0, resamples: int = 2000
) -> list[dict[str, Any]]:
    """Every two adapters on the facts that both were asked.

    Args:
        entries: the adapters.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Returns:
        ``a, b, set`` (trained or untrained), ``facts``, ``only_a, only_b`` (facts that one alone
        gets right), ``p`` and ``holm``, ``difference`` (mean share of right answers, a minus b)
        with ``low`` and ``high``. A set that two adapters share no fact of is left out.
    """
    places: dict[str, int] = {}
    probes = [entry.audit.after for entry in entries]
    for probe in probes:
        for name in probe.ids:
            places.setdefault(name, len(places))
    answers = [
        _answers(entry, probe.ids, probe.tally.k_greedy, probe.tally.n_greedy, places)
        for entry, probe in zip(entries, probes, strict=True)
    ]
    found: list[dict[str, Any]] = []
    for which in ("trained", "untrained"):
        rows = []
        for i, j in _couples(len(entries)):
            row = _pair(answers[i], answers[j], which, seed, resamples)
            if row is not None:
                rows.append({"a": entries[i].name, "b": entries[j].name, "set": which, **row})
        for row, value in zip(rows, holm([row["p"] for row in rows]), strict=True):
            row["holm"] = value
        found += rows
    return found


def _couples(count: int) -> Iterator[tuple[int, int]]:
    if count <= ALL_PAIRS:
        return itertools.combinations(range(count), 2)
    return ((0, j) for j in range(1, count))


def _answers(
    entry: Entry,
    ids: Sequence[str],
    k: NDArray[np.int32],
    n: NDArray[np.int32],
    places: Mapping[str, int],
) -> _Answers:
    rows = np.array([places[name] for name in ids], np.int64)
    all_k, all_n = np.zeros(len(places), np.int32), np.zeros(len(places), np.int32)
    all_k[rows], all_n[rows] = k, n
    trained, rehearsed = np.zeros(len(places), bool), np.zeros(len(places), bool)
    for mask, names in ((trained, entry.trained), (rehearsed, entry.rehearsed)):
        mask[[places[name] for name in names if name in places]] = True
    return _Answers(all_k, all_n, {"trained": trained, "untrained": ~(trained | rehearsed)})


def _pair(a: _Answers, b: _Answers, which: str, seed: int, resamples: int) -> dict[str, Any] | None:
    rows = (a.n > 0) & (b.n > 0) & a.sets[which] & b.sets[which]
    if not rows.any():
        return None
    right_a, right_b = majority(a.k[rows], a.n[rows]), majority(b.k[rows], b.n[rows])
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    gaps = a.k[rows] / a.n[rows] - b.k[rows] / b.n[rows]
    estimate = bootstrap(np.round(gaps, 12), seed=seed, resamples=resamples)
    return {
        "facts": int(rows.sum()),
        "only_a": only_a,
        "only_b": only_b,
        "p": mcnemar(only_a, only_b),
        "difference": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
    }


def groups(entries: Sequence[Entry], rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Adapters that differ in nothing but their seed, as a spread.

    Args:
        entries: the adapters.
        rows: their lines of the table.

    Returns:
        ``name, rows, seeds``, and of every figure that all of them have ``mean, min, max``.
        An adapter without like, or of which nobody knows how it was trained, is in no group.
    """
    alike: dict[str, list[int]] = defaultdict(list)
    for place, entry in enumerate(entries):
        if entry.settings and entry.seed is not None:
            key = json.dumps([entry.base["fingerprint"], entry.settings], sort_keys=True)
            alike[key].append(place)
    found = []
    for places in alike.values():
        seeds = [entries[i].seed for i in places]
        if len(set(seeds)) < 2:
            continue
        names = [entries[i].name for i in places]
        group: dict[str, Any] = {"name": _common(names), "rows": names, "seeds": seeds}
        for figure in FIGURES:
            values = [v for i in places if (v := rows[i].get(figure)) is not None]
            if len(values) == len(places):
                mean = float(np.mean(values))
                group[figure] = {"mean": mean, "min": min(values), "max": max(values)}
        found.append(group)
    return found


def _common(names: Sequence[str]) -> str:
    """What several names begin with, without a word that is cut in two; else all of them."""
    first, last = min(names), max(names)
    same = sum(
        1 for _ in itertools.takewhile(lambda p: p[0] == p[1], zip(first, last, strict=False))
    )
    start = first[:same].rstrip("0123456789").rstrip(" -_.,=:")
    start = start.removesuffix("seed").rstrip(" -_.,=:")
    return f"{start} ({len(names)} seeds)" if start else " + ".join(names)
