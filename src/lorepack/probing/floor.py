"""The guess floor: how much of what looks known would look known by luck.

A control question has no right answer, so its answers are held against those of the relation's
real facts, one after the other: over all pairs of a control and a fact of the relation, how often
would the control have fallen in which category? A relation with few possible answers has a high
floor, and so has one in which the model gives the most common answer to everything.

Assumed: what is known is always answered right, and what is not known is answered right as often
as a question of the same relation about nothing. Then of the share p that looks known, with a
floor c, (p − c)/(1 − c) is known; over relations, the mean weighted by facts. Intervals are
percentiles of 1,000 bootstrap draws of the facts and of the controls of every relation (Efron and
Tibshirani 1993, chapter 13); the accepted answers stay as they are.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorepack.facts import Fact
from lorepack.probing.categories import CATEGORIES, UNKNOWN, label
from lorepack.probing.controls import relation_of
from lorepack.text import Texts

DRAWS = 1000
FULL = 0.98
"""a floor from which on nothing can be told: the corrected share of the relation is 0"""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asked:
    """The answers to one control question."""

    relation: str
    greedy: Sequence[str | None]
    """one a prompt; None where the question did not fit the context"""
    sampled: Sequence[Sequence[str]] = ()
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Floor:
    """The guess floor of a probe."""

    document: dict[str, Any]
    """``controls`` of ``probe.json``"""
    luck: dict[str, float]
    """by fact id, the share of its relation's controls that would be known as well as the fact, or
    better, were its answers theirs; facts of relations without controls are not in it"""


@dataclass(frozen=True, slots=True)
class _Relation:
    """One relation's facts held against its controls."""

    facts: Floats
    """``(4,)`` shares of the facts' categories"""
    controls: Floats
    """``(controls, 4)`` of each control, over the facts"""
    count: int
    """facts"""

    @property
    def known(self) -> float:
        """p: the share of the facts that is not Unknown."""
        return float(1 - self.facts[UNKNOWN])

    @property
    def lucky(self) -> Floats:
        """``(controls,)`` of each control, the share of facts whose answer would be known."""
        return 1 - self.controls[:, UNKNOWN]


def measure(
    facts: Sequence[Fact],
    codes: NDArray[np.int8],
    controls: Sequence[Asked],
    *,
    rule: str,
    samples: int,
    seed: int = 0,
    ways: int = 4,
    left_out: Mapping[str, str] | None = None,
) -> Floor:
    """Hold the answers to control questions against those of the facts.

    Args:
        facts: what was probed.
        codes: ``(facts,)`` their categories, places in `CATEGORIES`.
        controls: the answers to the control questions; of a relation each counts the same.
        rule: when an answer is right, see `lorepack.text.matches`.
        samples: sampled answers a prompt.
        seed: of the bootstrap.
        ways: of the categories, 4 or 3.
        left_out: relations without controls, and why.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, fact in enumerate(facts):
        places[relation_of(fact)].append(place)
    asked: dict[str, list[Asked]] = defaultdict(list)
    for control in controls:
        asked[control.relation].append(control)
    luck: dict[str, float] = {}
    found: dict[str, _Relation] = {}
    for name in sorted(asked.keys() & places.keys()):
        rows = [facts[i] for i in places[name]]
        against = _Against(asked[name], rule, samples, ways)
        found[name] = _held(rows, codes[places[name]], against, luck)
    ordered = {fact.id: luck[fact.id] for fact in facts if fact.id in luck}
    return Floor(_document(found, controls, left_out or {}, seed), ordered)


class _Against:
    """The controls of a relation, ready to be held against any answer."""

    def __init__(self, asked: Sequence[Asked], rule: str, samples: int, ways: int) -> None:
        """Count how often each control gave each text."""
        self.size = len(asked)
        self._ways, self._samples = ways, samples
        self._prompts = max(len(one.greedy) for one in asked)
        counts: dict[str, dict[int, list[int]]] = defaultdict(dict)
        for number, one in enumerate(asked):
            for text in one.greedy:
                if text is not None:
                    counts[text].setdefault(number, [0, 0])[0] += 1
            for text in (text for texts in one.sampled for text in texts):
                counts[text].setdefault(number, [0, 0])[1] += 1
        self._texts = Texts(list(counts), rule)
        self._given = [
            np.array([[number, *n] for number, n in given.items()]) for given in counts.values()
        ]

    def codes(self, accepted: Sequence[str]) -> NDArray[np.int8]:
        """``(controls,)`` the categories that they would have, were these answers right."""
        right = np.zeros((self.size, 2), int)
        for place in self._texts.giving(accepted):
            rows = self._given[place]
            right[rows[:, 0]] += rows[:, 1:]
        return label(right[:, 0], self._prompts, right[:, 1], self._ways)


def _held(
    facts: Sequence[Fact], codes: NDArray[np.int8], against: _Against, luck: dict[str, float]
) -> _Relation:
    """Every fact's answers against every control; ``luck`` takes what comes of it."""
    controls = np.zeros((against.size, len(CATEGORIES)))
    rows = np.arange(against.size)
    seen: dict[tuple[str, ...], NDArray[np.int8]] = {}
    for fact, code in zip(facts, codes, strict=True):
        if fact.accepted not in seen:
            seen[fact.accepted] = against.codes(fact.accepted)
        theirs = seen[fact.accepted]
        controls[rows, theirs] += 1
        luck[fact.id] = float((theirs <= code).mean())
    of_facts = np.bincount(codes, minlength=len(CATEGORIES)) / len(facts)
    return _Relation(of_facts, controls / len(facts), len(facts))


def _document(
    found: Mapping[str, _Relation], asked: Sequence[Asked], left_out: Mapping[str, str], seed: int
) -> dict[str, Any]:
    """``controls`` of ``probe.json``."""
    of_relation = [len(one.lucky) for one in found.values()]
    document: dict[str, Any] = {
        "per_relation": max(of_relation, default=0),
        "questions": len(asked),
        "refusals": sum(one.refused for one in asked),
        "left_out": dict(sorted(left_out.items())),
        "categories": None,
        "of_facts": None,
        "corrected": None,
        "by_relation": {},
    }
    if not found:
        return document
    weights = np.array([one.count for one in found.values()]) / sum(o.count for o in found.values())
    draws = np.array([_draws(one, seed, name) for name, one in found.items()])
    for (name, one), drawn in zip(found.items(), draws, strict=True):
        document["by_relation"][name] = {
            "facts": one.count,
            "controls": len(one.lucky),
            "known": _round(one.known),
            "floor": _round(one.lucky.mean()),
            **_estimate(corrected(one.known, one.lucky.mean()), drawn),
            "categories": _named(one.controls.mean(0)),
            "of_facts": _named(one.facts),
        }
    floors = np.array([one.lucky.mean() for one in found.values()])
    known = np.array([one.known for one in found.values()])
    document["categories"] = _named(weights @ [one.controls.mean(0) for one in found.values()])
    document["of_facts"] = _named(weights @ [one.facts for one in found.values()])
    figures = _estimate(float(weights @ corrected(known, floors)), weights @ draws)
    document["corrected"] = {
        "known": figures["corrected"],
        "low": figures["low"],
        "high": figures["high"],
        "clipped": figures["clipped"],
        "raw": _round(weights @ known),
        "floor": _round(weights @ floors),
    }
    return document


def corrected(known: Any, floor: Any) -> Any:
    """(p − c)/(1 − c), not clipped; 0 where the floor is as good as full.

    Args:
        known: p, a share or an array of shares.
        floor: c, of the same shape.
    """
    known, floor = np.asarray(known, float), np.asarray(floor, float)
    rest = np.where(floor < FULL, 1 - floor, 1)
    return np.where(floor < FULL, (known - floor) / rest, 0.0)


def _draws(one: _Relation, seed: int, name: str) -> Floats:
    """``(DRAWS,)`` the corrected share over facts and controls drawn again."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    lucky, size = one.lucky, len(one.lucky)
    known = rng.binomial(one.count, min(max(one.known, 0), 1), DRAWS) / one.count
    times = rng.multinomial(size, np.full(size, 1 / size), DRAWS)  # (DRAWS, controls)
    return corrected(known, times @ lucky / size)


def _estimate(value: Any, draws: Floats) -> dict[str, Any]:
    low, high = np.percentile(draws, [2.5, 97.5])
    within = lambda x: _round(min(max(float(x), 0.0), 1.0))  # noqa: E731
    return {
        "corrected": within(value),
        "low": within(low),
        "high": within(high),
        "clipped": bool(value < 0),
    }


def _named(shares: Floats) -> dict[str, float]:
    return {name: _round(share) for name, share in zip(CATEGORIES, shares, strict=True)}


def _round(value: Any) -> float:
    return round(float(value), 6)
