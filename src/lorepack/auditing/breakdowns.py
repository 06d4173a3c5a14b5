"""Shifts apart: by relation, by popularity of the subject, by how many facts share the answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorepack.auditing.pair import Pair
from lorepack.auditing.reliability import bootstrap
from lorepack.auditing.shifts import Shift
from lorepack.facts import Fact
from lorepack.probing.categories import count
from lorepack.text import normalise

NO_RELATION = "(none)"
NO_POPULARITY = "(unknown)"
BANDS = ("head", "torso", "tail")
_FREQUENCIES = ((1, "1"), (4, "2-4"), (9, "5-9"), (49, "10-49"), (None, "50+"))
Rows = NDArray[np.int64]


def by_relation(pair: Pair, **resampling: Any) -> dict[str, Any]:
    """Counts and reliability a relation; empty when no fact has one.

    Args:
        pair: the facts before and after.
        resampling: options of `bootstrap`.
    """
    names = [fact.relation or NO_RELATION for fact in pair.facts]
    if set(names) == {NO_RELATION}:
        return {}
    return {
        name: _row(pair, rows, resampling, learned=True)
        for name, rows in sorted(_places(names).items())
    }


def by_popularity(pair: Pair, **resampling: Any) -> list[dict[str, Any]]:
    """Counts a bucket of popularity, the most popular first; empty when none is known.

    Facts that were drawn by head, torso and tail (their ``split``) keep these buckets; else the
    facts are cut into thirds by their number, equal numbers together.
    """
    return _buckets(pair, *_popularity(pair.facts), resampling)


def by_frequency(pair: Pair, **resampling: Any) -> list[dict[str, Any]]:
    """Counts by how many of the probed facts share a fact's answer, in normal form."""
    answers = [normalise(fact.answer) for fact in pair.facts]
    shared = Counter(answers)
    names = [_frequency(shared[answer]) for answer in answers]
    return _buckets(pair, names, [name for _, name in _FREQUENCIES], resampling)


def _frequency(facts: int) -> str:
    return next(name for most, name in _FREQUENCIES if most is None or facts <= most)


def _popularity(facts: Sequence[Fact]) -> tuple[list[str], list[str]]:
    """The bucket of every fact, and the buckets in order."""
    splits = {fact.split for fact in facts}
    if splits - {None} and splits <= {*BANDS, None}:
        return [fact.split or NO_POPULARITY for fact in facts], [*BANDS, NO_POPULARITY]
    values = [fact.popularity for fact in facts]
    known = np.array([value for value in values if value is not None], np.float64)
    if not known.size:
        return [], []
    edges = np.unique(np.quantile(known, [1 / 3, 2 / 3], method="inverted_cdf"))
    edges = edges[edges < known.max()]  # equal numbers may leave fewer than three
    texts = [f"{edge:.6g}" for edge in edges]
    lowest = [f"up to {texts[0]}"] if texts else []
    between = [f"{low} to {high}" for low, high in pairwise(texts)]
    ends = list(dict.fromkeys(f"{end:.6g}" for end in (known.min(), known.max())))
    named = [*lowest, *between, f"above {texts[-1]}" if texts else " to ".join(ends)]
    names = [
        NO_POPULARITY if value is None else named[int(np.searchsorted(edges, value))]
        for value in values
    ]
    return names, [*reversed(named), NO_POPULARITY]


def _buckets(
    pair: Pair, names: Sequence[str], order: Iterable[str], resampling: dict[str, Any]
) -> list[dict[str, Any]]:
    places = _places(names)
    return [
        {"bucket": name, **_row(pair, places[name], resampling)} for name in order if name in places
    ]


def _places(names: Sequence[str]) -> dict[str, Rows]:
    found: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        found[name].append(place)
    return {name: np.array(rows, np.int64) for name, rows in found.items()}


def _row(
    pair: Pair, rows: Rows, resampling: dict[str, Any], learned: bool = False
) -> dict[str, Any]:
    """Categories of all facts; shifts of those that were not in the mix. ``intervals`` are those
    of the shares that shifted and, with ``learned``, of the reliability, over facts."""
    untrained = pair.untrained[rows]
    size = int(untrained.sum())
    before, after = pair.codes_before[rows], pair.codes_after[rows]
    moved = {
        "positive": int((untrained & (after < before)).sum()),
        "negative": int((untrained & (after > before)).sum()),
    }
    intervals: dict[str, Any] = {}
    for side, number in moved.items() if size else ():
        found = Shift(number, number / size, None).interval(size, **resampling)
        intervals[side] = list(found or ())
    row = {
        "facts": len(rows),
        "untrained": size,
        "before": count(before),
        "after": count(after),
        **moved,
        "intervals": intervals,
    }
    return row | _learned(pair, rows, resampling, intervals) if learned else row


def _learned(
    pair: Pair, rows: Rows, resampling: dict[str, Any], intervals: dict[str, Any]
) -> dict[str, Any]:
    """Reliability of the trained facts; its interval goes to the others."""
    trained = rows[pair.trained[rows]]
    if not len(trained):
        return {"trained": 0, "reliability": None}
    shares = pair.after.tally.k_greedy[trained] / pair.after.tally.n_greedy[trained]
    estimate = bootstrap(shares, **resampling)
    intervals["reliability"] = [estimate.low, estimate.high]
    return {"trained": len(trained), "reliability": float(shares.mean())}
