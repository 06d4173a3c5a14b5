"""Counting correct answers and refusals: what labels are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lorepack.facts import Fact
from lorepack.probing.asking import Answers
from lorepack.refusals import Lexicon
from lorepack.text import Matcher, is_refusal

Counts = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts a fact, each ``(facts,)``."""

    k_greedy: Counts
    n_greedy: Counts
    k_sampled: Counts
    n_sampled: Counts
    refused: Counts
    """greedy answers that decline to answer"""

    @classmethod
    def joined(cls, parts: Sequence[Tally]) -> Tally:
        """One tally of several, in order."""
        names = cls.__slots__
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def tally(
    facts: Iterable[Fact],
    answers: Answers,
    rule: str,
    samples: int,
    lexicon: Lexicon | None = None,
) -> Tally:
    """Count correct answers.

    Args:
        facts: in the order of ``answers``.
        answers: what was answered; an answer that is missing, since the question did not fit the
            context, counts as wrong.
        rule: when an answer is correct, see `lorepack.text.matches`.
        samples: sampled answers asked for a prompt.
        lexicon: what counts as declining to answer; the shipped one when None. A right answer
            never does.
    """
    rows = [
        _count(Matcher(fact.accepted, rule), greedy, sampled, samples, lexicon)
        for fact, greedy, sampled in zip(facts, answers.greedy, answers.sampled, strict=True)
    ]
    return Tally(*np.array(rows, np.int32).reshape(-1, 5).T)


def _count(
    match: Matcher,
    greedy: Sequence[str | None],
    sampled: Sequence[Sequence[str]],
    samples: int,
    lexicon: Lexicon | None,
) -> tuple[int, int, int, int, int]:
    # The answers to one fact are few texts, repeated.
    correct: dict[str, bool] = {}

    def right(text: str) -> bool:
        if text not in correct:
            correct[text] = match(text)
        return correct[text]

    return (
        sum(right(text) for text in greedy if text is not None),
        len(greedy),
        sum(right(text) for texts in sampled for text in texts),
        len(greedy) * samples,
        sum(
            text is not None and not right(text) and is_refusal(text, lexicon=lexicon)
            for text in greedy
        ),
    )
