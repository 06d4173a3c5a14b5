"""From two probes to the figures: one pass over the answers, arrays for the rest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorepack.auditing.answers import AnswerCounts, compare, usual
from lorepack.auditing.reliability import reliability
from lorepack.auditing.settings import AuditSettings
from lorepack.auditing.shifts import both, transitions
from lorepack.facts import Fact
from lorepack.probing import CATEGORIES, ProbeResult
from lorepack.probing.categories import count
from lorepack.text import Matcher

Greedy = Sequence[str | None]
NO_RELATION = "(none)"


@dataclass(frozen=True)
class Pair:
    """The same facts before and after, in one order, and which of them were trained."""

    facts: Sequence[Fact]
    before: ProbeResult
    after: ProbeResult
    trained_ids: AbstractSet[str]
    rehearsed_ids: AbstractSet[str] = frozenset()
    """known facts that were trained beside them, lest they be forgotten"""

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """``(facts,)`` the place of each fact in ``before``, which may hold further facts."""
        return np.array([self.before.index[fact.id] for fact in self.facts], np.int64)

    @cached_property
    def codes_before(self) -> NDArray[np.int8]:
        """``(facts,)`` category codes."""
        return self.before.codes[self.rows]

    @property
    def codes_after(self) -> NDArray[np.int8]:
        """``(facts,)`` category codes."""
        return self.after.codes

    @cached_property
    def trained(self) -> NDArray[np.bool_]:
        """``(facts,)`` whether a fact was trained."""
        return np.array([fact.id in self.trained_ids for fact in self.facts], bool)

    @cached_property
    def rehearsed(self) -> NDArray[np.bool_]:
        """``(facts,)`` whether a fact was in the mix as a known one."""
        return np.array([fact.id in self.rehearsed_ids for fact in self.facts], bool)

    @property
    def untrained(self) -> NDArray[np.bool_]:
        """``(facts,)`` whether a fact was in the mix not at all: what spill-over is about."""
        return ~(self.trained | self.rehearsed)

    def answers(self) -> Iterator[tuple[Fact, Greedy, Greedy]]:
        """Every fact with its greedy answers before and after, streamed from the two folders."""
        wanted = {fact.id for fact in self.facts}
        old = (row for row in _greedy(self.before) if row[0] in wanted)
        for fact, (old_id, was), (new_id, now) in zip(
            self.facts, old, _greedy(self.after), strict=True
        ):
            assert fact.id == old_id == new_id, "facts are in the order of the probe before"
            yield fact, was, now


def _greedy(result: ProbeResult) -> Iterator[tuple[str, Greedy]]:
    for part in result.answers():
        yield from zip(part.ids, part.greedy, strict=True)


def document(pair: Pair, settings: AuditSettings) -> dict[str, Any]:
    """``audit.json`` but for generality and neutral text."""
    trained, after = pair.trained, pair.after.tally
    matrices = {
        name: transitions(pair.codes_before[rows], pair.codes_after[rows])
        for name, rows in (
            ("all", np.ones(len(pair.facts), bool)),
            ("trained", trained),
            ("rehearsed", pair.rehearsed),
            ("untrained", pair.untrained),
        )
    }
    answers, losses = _answers_and_losses(pair, settings)
    return {
        "schema": 1,
        "facts": len(pair.facts),
        "trained": int(trained.sum()),
        "rehearsed": int(pair.rehearsed.sum()),
        "reliability": reliability(
            after.k_greedy[trained], after.n_greedy[trained], **settings.bootstrap
        ),
        "categories": {"before": count(pair.codes_before), "after": count(pair.codes_after)},
        "transitions": {name: matrix.tolist() for name, matrix in matrices.items()},
        "shifts": {name: both(matrix) for name, matrix in matrices.items()},
        "refusals": _refusals(pair),
        "answers": answers,
        "by_relation": _by_relation(pair),
        "losses": losses,
    }


def _refusals(pair: Pair) -> dict[str, int]:
    asked, was = pair.after.tally.n_greedy, pair.before.tally.refused[pair.rows]
    now = pair.after.tally.refused
    return {
        "before": int(was.sum()),
        "after": int(now.sum()),
        "answers": int(asked.sum()),
        "facts_before": int((2 * was > asked).sum()),
        "facts_after": int((2 * now > asked).sum()),
    }


def _by_relation(pair: Pair) -> dict[str, Any]:
    places: dict[str, list[int]] = defaultdict(list)
    for place, fact in enumerate(pair.facts):
        places[fact.relation or NO_RELATION].append(place)
    if set(places) == {NO_RELATION}:
        return {}
    return {
        name: {
            "facts": len(rows),
            "before": count(pair.codes_before[rows]),
            "after": count(pair.codes_after[rows]),
        }
        for name, rows in sorted(places.items())
    }


def _answers_and_losses(
    pair: Pair, settings: AuditSettings
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What needs the texts, in one pass over them."""
    before, after = AnswerCounts(), AnswerCounts()
    worst = _worst(pair, settings.worst)
    losses: dict[str, dict[str, Any]] = {}
    for place, (fact, was, now) in enumerate(pair.answers()):
        match = Matcher(fact.accepted, pair.after.settings.rule)
        before.add(match, was)
        after.add(match, now)
        if fact.id in worst:
            losses[fact.id] = {
                "id": fact.id,
                "question": fact.question,
                "answer": fact.answer,
                "before": CATEGORIES[pair.codes_before[place]],
                "after": CATEGORIES[pair.codes_after[place]],
                "answer_before": usual(was),
                "answer_after": usual(now),
            }
    prompts = int(pair.after.tally.n_greedy.max())
    compared = compare(before, after, len(pair.facts), prompts, settings.collapse)
    return compared, [losses[fact_id] for fact_id in worst]


def _worst(pair: Pair, size: int) -> dict[str, None]:
    """Ids of the facts that fell, the trained ones aside, in order: the longest fall from the best
    category first, then by correct answers lost, then by id."""
    fall = pair.codes_after.astype(int) - pair.codes_before
    k_before = pair.before.tally.k_greedy[pair.rows]
    lost = k_before - pair.after.tally.k_greedy
    fell = np.flatnonzero((fall > 0) & ~pair.trained).tolist()
    fell.sort(key=lambda i: (-fall[i], pair.codes_before[i], -lost[i], pair.facts[i].id))
    return dict.fromkeys(pair.facts[i].id for i in fell[:size])
