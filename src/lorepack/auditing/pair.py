"""The same facts before and after, and which of them were in the mix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lorepack.auditing.stored import Greedy, greedy
from lorepack.facts import Fact
from lorepack.probing import ProbeResult


@dataclass(frozen=True)
class Pair:
    """The same facts before and after, in one order, and which of them were trained."""

    facts: Sequence[Fact]
    before: ProbeResult
    after: ProbeResult
    trained_ids: AbstractSet[str]
    rehearsed_ids: AbstractSet[str] = frozenset()
    """known facts that were trained beside them, lest they be forgotten"""
    tokens: Callable[[str], int] | None = None
    """how many tokens of the model a text is"""

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

    def moved(self, side: str) -> NDArray[np.bool_]:
        """``(facts,)`` who is known better (``positive``) or worse (``negative``) than before."""
        better = self.codes_after < self.codes_before
        return better if side == "positive" else self.codes_after > self.codes_before

    @property
    def shifted(self) -> NDArray[np.bool_]:
        """``(facts,)`` who moved and was not in the mix: the spill-over."""
        return self.untrained & (self.codes_after != self.codes_before)

    def answers(self) -> Iterator[tuple[Fact, Greedy, Greedy]]:
        """Every fact with its greedy answers before and after, streamed from the two folders.

        Raises:
            InputError: a file of answers is not whole.
        """
        wanted = {fact.id for fact in self.facts}
        old = (row for row in greedy(self.before.out, "lorepack probe") if row[0] in wanted)
        new = greedy(self.after.out, "lorepack audit")
        for fact, (old_id, was), (new_id, now) in zip(self.facts, old, new, strict=True):
            assert fact.id == old_id == new_id, "facts are in the order of the probe before"
            yield fact, was, now
