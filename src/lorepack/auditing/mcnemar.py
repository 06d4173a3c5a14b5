"""Do two adapters differ on the same facts? McNemar's exact test, and Holm's correction.

McNemar 1947: of the facts that exactly one of two adapters gets right, half would go to each were
the two equally good. The number that goes to the first is then binomial with chance 1/2.

The unit is the fact. Its answers through several prompts say nearly the same thing over again, so
that to count (fact, prompt) pairs would make any difference look surer than it is; a fact counts
as right when more than half of its greedy answers are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def majority(k: NDArray[np.integer], n: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether more than half of the greedy answers to each fact are right.

    Args:
        k: ``(facts,)`` right answers.
        n: ``(facts,)`` answers asked for, one a prompt.
    """
    return 2 * k > n


def mcnemar(only_a: int, only_b: int) -> float:
    """The two-sided p-value of McNemar's exact test.

    Args:
        only_a: facts that the first alone gets right.
        only_b: facts that the second alone gets right.

    Returns:
        The probability of a split at least as uneven, were both equally good:
        ``2 · P(X ≤ min(only_a, only_b))``, at most 1, X binomial of ``only_a + only_b`` and 1/2.
    """
    assert only_a >= 0
    assert only_b >= 0
    trials, few = only_a + only_b, min(only_a, only_b)
    if 2 * few == trials:
        return 1.0
    # Terms fall fast below the middle; sums of logarithms keep a million facts from underflow.
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])  # log n!
    places = np.arange(few + 1)
    terms = logs[trials] - logs[places] - logs[trials - places] - trials * np.log(2.0)
    largest = terms.max()
    return float(min(1.0, 2 * np.exp(largest) * np.exp(terms - largest).sum()))


def holm(values: Sequence[float]) -> list[float]:
    """p-values of one family, corrected by Holm's step-down method (Holm 1979).

    The i-th smallest of m is multiplied by m − i + 1 and is at least the ones before it: the
    chance that any true null hypothesis is rejected stays below the level.

    Args:
        values: p-values, each in 0..1.

    Returns:
        Corrected p-values in the same order, each in 0..1.
    """
    corrected = [1.0] * len(values)
    least = 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        least = max(least, min(1.0, values[place] * (len(values) - rank)))
        corrected[place] = least
    return corrected
