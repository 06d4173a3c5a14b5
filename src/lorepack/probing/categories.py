"""The four knowledge categories, from counts of correct answers.

Definitions of Gekhman et al. 2024 (SliCK, arXiv 2405.05904, Figure 2). With P(T=0) the share of
correct greedy answers over the few-shot prompts and P(T>0) that of the sampled ones:

    HighlyKnown  P(T=0) = 1
    MaybeKnown   0 < P(T=0) < 1
    WeaklyKnown  P(T=0) = 0 and P(T>0) > 0
    Unknown      P(T=0) = 0 and P(T>0) = 0

Without samples nothing is WeaklyKnown.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lorepack.errors import InputError

CATEGORIES = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")
"""from the best to the least known; a category's code is its place here"""

HIGHLY, MAYBE, WEAKLY, UNKNOWN = range(4)
Ways = Literal[3, 4]


def label(
    k_greedy: ArrayLike, n_greedy: ArrayLike, k_sampled: ArrayLike, ways: int = 4
) -> NDArray[np.int8]:
    """Category codes of facts.

    Args:
        k_greedy: ``(facts,)`` correct greedy answers, or one number.
        n_greedy: ``(facts,)`` greedy answers asked for, at least 1.
        k_sampled: ``(facts,)`` correct sampled answers.
        ways: 4, or 3 to count WeaklyKnown as Unknown (arXiv 2502.14502).

    Returns:
        ``(facts,)`` codes, places in `CATEGORIES`.

    Raises:
        InputError: ``ways`` is neither 3 nor 4.
    """
    if ways not in (3, 4):
        raise InputError(f"ways={ways}: categories come in 3 or 4 ways")
    k, n, sampled = np.broadcast_arrays(*(np.asarray(x) for x in (k_greedy, n_greedy, k_sampled)))
    assert np.all((k >= 0) & (k <= n) & (n >= 1)), "0 <= k_greedy <= n_greedy, n_greedy >= 1"
    weakly = WEAKLY if ways == 4 else UNKNOWN
    known = np.where(k == n, HIGHLY, MAYBE)
    return np.where(k > 0, known, np.where(sampled > 0, weakly, UNKNOWN)).astype(np.int8)


def count(codes: NDArray[np.int8]) -> dict[str, int]:
    """How many facts each category has; every category is named."""
    tally = np.bincount(codes, minlength=len(CATEGORIES))
    return {name: int(n) for name, n in zip(CATEGORIES, tally, strict=True)}
