"""Which answers are given how often, before and after: has one taken over?

A model that was trained on few facts may answer many questions with one string (arXiv 2502.14502,
section 5.3, where 10 facts made one answer come 9,393 times). The published threshold, 850
against a base whose most frequent answer came 661 times, is a ratio of 1.29; here the ratio is
applied to the base at hand.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from lorepack.refusals import Lexicon
from lorepack.text import Matcher, answer_of, is_refusal

TOP = 10


@lru_cache(maxsize=1 << 16)
def refuses(text: str, lexicon: Lexicon | None = None) -> bool:
    """`lorepack.text.is_refusal`, remembered: the same answers come again and again."""
    return is_refusal(text, lexicon=lexicon)


@dataclass(slots=True)
class AnswerCounts:
    """How often each answer was given. Refusals are not answers; they are counted elsewhere."""

    all: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    lexicon: Lexicon | None = None
    """what counts as a refusal; the shipped one when None"""

    def add(self, match: Matcher, texts: Iterable[str | None]) -> None:
        """Count the greedy answers to one fact; None is a question that was not asked."""
        for text, times in Counter(texts).items():
            if text is None:
                continue
            right = match(text)
            if not right and refuses(text, self.lexicon):
                continue
            answer = answer_of(text)
            self.all[answer] += times
            if not right:
                self.wrong[answer] += times

    def top(self, size: int = TOP) -> list[list[Any]]:
        """The most frequent answers and their counts, ties in the order of the text."""
        return [[text, n] for text, n in sorted(self.all.items(), key=_rank)[:size]]


@dataclass(frozen=True, slots=True)
class CollapseTest:
    """When an answer counts as taking over.

    Its *wrong* occurrences afterwards must exceed ``max(ratio · m, m + 3·√(m·prompts),
    share · total)``, where m is how often the base gave its own most frequent answer (at least
    one fact's worth) and total the number of answers. The first term is the published test; the
    second keeps small fact lists from crossing it by chance (answers to one fact come together,
    so the noise of m is that of m/prompts facts); the third a base that mostly refuses. Half of
    all answers is enough, lest a base that says one thing always hide another that takes its
    place (but never less than four facts' worth). The first two terms hold for the answer's own
    count before, too.
    """

    ratio: float = 1.3
    share: float = 0.005

    def threshold(self, before: AnswerCounts, prompts: int, total: int) -> int:
        """The count that must be exceeded."""
        m = max([prompts, *before.all.values()])
        most = max(self._grown(m, prompts), self.share * total)
        return math.ceil(min(most, max(total / 2, self._grown(prompts, prompts))))

    def exploded(
        self, before: AnswerCounts, after: AnswerCounts, prompts: int, total: int
    ) -> list[tuple[str, int]]:
        """The answers that took over and their wrong occurrences, the most frequent first."""
        least = self.threshold(before, prompts, total)
        over = (
            (text, n)
            for text, n in after.wrong.items()
            if n > max(least, self._grown(before.all[text], prompts))
        )
        return sorted(over, key=_rank)

    def _grown(self, m: int, prompts: int) -> float:
        return max(self.ratio * m, m + 3 * math.sqrt(m * prompts))

    def rule(self) -> str:
        """The test in words, for ``audit.json``."""
        return (
            f"given wrongly more often than max({self.ratio:g} m, m + 3 sqrt(m prompts), "
            f"{self.share:g} total), at most half of all answers, m being how often the base gave "
            "its own most frequent answer; and more often than the first two of its own count "
            "before"
        )


def compare(
    before: AnswerCounts, after: AnswerCounts, facts: int, prompts: int, test: CollapseTest
) -> dict[str, Any]:
    """The ``answers`` part of ``audit.json``."""
    total = facts * prompts
    threshold = test.threshold(before, prompts, total)
    over = test.exploded(before, after, prompts, total)
    return {
        "distinct_before": len(before.all),
        "distinct_after": len(after.all),
        "total": total,
        "answered_before": before.all.total(),
        "answered_after": after.all.total(),
        "top_before": before.top(),
        "top_after": after.top(),
        "collapsed": bool(over),
        "collapsed_answers": [[text, n, before.all[text]] for text, n in over[:TOP]],
        "threshold": threshold,
        "test": {"ratio": test.ratio, "share": test.share},
    }


def usual(texts: Sequence[str | None]) -> str | None:
    """The most frequent greedy answer to one fact, the first of equals; None if none was given."""
    given = [answer_of(text) for text in texts if text is not None]
    return Counter(given).most_common(1)[0][0] if given else None


def _rank(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
