"""The published analysis of shifts, errors included (arXiv 2502.14502 and its notebook).

What differs from `causes`, on purpose:

- only Unknown -> HighlyKnown and back are explained, in three categories by raw substring;
- tests of texts see the answer to the first prompt alone, case-sensitive, anywhere in it;
- a refusal is whatever holds the word "information";
- an answer explodes beyond 850 occurrences, whatever the base does;
- each later reason overwrites the label of an earlier one (counts are taken before that);
- the trained facts are among the shifts that they explain;
- the spread of the answers' counts, called variance, is their standard deviation.

Not reproduced: the join on the question's text, which multiplies facts that share a question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

REFUSED = "information"
MARKER = "Answer: "
EXPLODED = 850
NON_DEFINED = "Non-defined"
HIGHLY, MAYBE, UNKNOWN = "HighlyKnown", "MaybeKnown", "Unknown"


@dataclass(frozen=True, slots=True)
class Row:
    """One question, its greedy answers by prompt, and what the analysis asks of it."""

    accepted: Sequence[str]
    """the first of them is what target-based shifts look for"""
    before: Sequence[str]
    after: Sequence[str]
    domain: str | None = None
    target: bool = False
    """whether it is one of the trained Unknown facts"""


def analyse(rows: Iterable[Row]) -> dict[str, Any]:
    """The published figures.

    Args:
        rows: one a question; read once.

    Returns:
        ``refused`` answers of the first prompt (``base, run``), ``answers`` of the run (``unique``,
        ``mean``, ``variance``), ``exploded`` answers with their counts, and for ``positive``
        (Unknown -> HighlyKnown) and ``negative`` (back) the ``shifts``, how many of them each
        reason holds for, ``explained`` by any, their ``shares``, and the ``labels`` that are left
        after overwriting.
    """
    run = _Run()
    for row in rows:
        run.see(row)
    return run.figures()


class _Run:
    """What one pass over the questions leaves: counts, and the rows that shifted."""

    def __init__(self) -> None:
        self.questions = 0
        self.refused = Counter(base=0, run=0)
        self.counts: Counter[str] = Counter()
        self.shifted: dict[str, list[Row]] = {"positive": [], "negative": []}
        self.targets: list[str] = []
        self.domains: set[str] = set()

    def see(self, row: Row) -> None:
        self.questions += 1
        self.refused["base"] += REFUSED in _first(row.before)
        self.refused["run"] += REFUSED in _first(row.after)
        for text in row.after:
            if REFUSED not in text and MARKER in text:
                self.counts[text.partition(MARKER)[2].strip()] += 1
        if row.target:
            self.targets.append(row.accepted[0])
            self.domains.add(row.domain or NON_DEFINED)
        was, now = category(row.accepted, row.before), category(row.accepted, row.after)
        if {was, now} == {UNKNOWN, HIGHLY}:
            self.shifted["positive" if was == UNKNOWN else "negative"].append(row)

    def figures(self) -> dict[str, Any]:
        numbers = np.array(list(self.counts.values()) or [0], np.float64)
        exploded = {text: n for text, n in self.counts.items() if n > EXPLODED}
        domains = self.domains - {NON_DEFINED}
        reasons: dict[str, Callable[[Row], bool]] = {
            "non_refusal": lambda row: REFUSED in _first(row.before),
            "explosion": lambda row: any(text in _first(row.after) for text in exploded),
            "target": lambda row: any(text in _first(row.after) for text in self.targets),
            "domain": lambda row: (row.domain or NON_DEFINED) in domains,
        }
        listed = sorted(exploded.items(), key=lambda item: (-item[1], item[0]))
        return {
            "facts": self.questions,
            "trained": len(self.targets),
            "refused": dict(self.refused),
            "answers": {
                "unique": len(self.counts),
                "mean": float(numbers.mean()),
                "variance": float(numbers.std()),
            },
            "exploded": [list(item) for item in listed[:10]],
            "threshold": EXPLODED,
            "positive": _side(self.shifted["positive"], reasons),
            "negative": _side(
                self.shifted["negative"],
                {name: test for name, test in reasons.items() if name != "non_refusal"},
            ),
        }


def category(accepted: Sequence[str], answers: Sequence[str]) -> str:
    """The published category: all answers, some or none hold one of the accepted ones.

    Both sides are stripped and in lower case; empty aliases are dropped.
    """
    known = [form for text in accepted if (form := text.strip().lower())]
    right = [any(form in text.strip().lower() for form in known) for text in answers]
    return HIGHLY if right and all(right) else MAYBE if any(right) else UNKNOWN


def _side(rows: Sequence[Row], reasons: dict[str, Callable[[Row], bool]]) -> dict[str, Any]:
    counts, labels, explained = dict.fromkeys(reasons, 0), Counter[str](), 0
    for row in rows:
        held = [name for name, holds in reasons.items() if holds(row)]
        for name in held:
            counts[name] += 1
        explained += bool(held)
        labels[held[-1] if held else "unexplained"] += 1
    figures = {**counts, "explained": explained}
    shares = {name: n / len(rows) for name, n in figures.items()} if rows else {}
    return {"shifts": len(rows), **figures, "shares": shares, "labels": dict(labels)}


def _first(answers: Sequence[str]) -> str:
    return answers[0] if answers else ""
