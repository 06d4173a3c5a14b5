"""How reliably facts are answered, with bootstrap intervals over the facts.

Reliability is the share of correct greedy answers of the trained facts (Yao et al. 2023, as used
in arXiv 2502.14502, section 4.1): its headline is the mean over facts and prompts; the shares of
facts that all prompts, and that any prompt, answers are given beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over facts and its interval."""

    mean: float
    low: float
    high: float


def bootstrap(
    values: ArrayLike, *, seed: int = 0, resamples: int = 2000, level: float = 0.95
) -> Estimate:
    """The mean of one value a fact, and its percentile interval (Efron 1979) over facts.

    Facts with equal values are interchangeable, so a resample is a multinomial draw of how often
    each distinct value comes up: the same distribution as drawing facts, at a cost that depends
    on the few distinct values and not on the number of facts.

    Args:
        values: ``(facts,)``, at least one.
        seed: of the resamples.
        resamples: how many.
        level: of the interval.

    Returns:
        Mean and interval; the interval holds the mean.
    """
    array = np.asarray(values, np.float64)
    assert array.size > 0
    distinct, counts = np.unique(array, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(array.size, counts / array.size, resamples)
    means = draws @ distinct / array.size
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    mean = float(array.mean())
    return Estimate(mean, min(float(low), mean), max(float(high), mean))


def reliability(
    k: NDArray[np.integer[Any]], n: NDArray[np.integer[Any]], **options: Any
) -> dict[str, Any] | None:
    """Reliability from counts of correct answers.

    Args:
        k: ``(facts,)`` correct greedy answers of the trained facts.
        n: ``(facts,)`` greedy answers asked for, one a prompt.
        options: of `bootstrap`.

    Returns:
        Mean over facts and prompts (``mean, low, high``), share of facts that all prompts answer
        (``all, all_low, all_high``) and that any does (``any, any_low, any_high``), ``facts`` and
        ``prompts``; None when there are no facts.
    """
    if not len(k):
        return None
    row: dict[str, Any] = {"facts": len(k), "prompts": int(n.max())}
    for name, values in (("", k / n), ("all", k == n), ("any", k > 0)):
        found = bootstrap(values, **options)
        prefix = f"{name}_" if name else ""
        row[name or "mean"] = found.mean
        row[f"{prefix}low"], row[f"{prefix}high"] = found.low, found.high
    return row


def generality(
    owners: NDArray[np.integer[Any]], shares: NDArray[np.float64], **options: Any
) -> dict[str, Any] | None:
    """Reliability through other wordings: mean over facts of the mean over their wordings.

    Args:
        owners: ``(wordings,)`` which fact each wording asks for.
        shares: ``(wordings,)`` share of correct answers, over prompts.
        options: of `bootstrap`.

    Returns:
        ``mean, low, high, facts, wordings``; None when there are no wordings.
    """
    if not len(owners):
        return None
    _, places = np.unique(owners, return_inverse=True)
    per_fact = np.bincount(places, weights=shares) / np.bincount(places)
    found = bootstrap(per_fact, **options)
    return {
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "facts": len(per_fact),
        "wordings": len(owners),
    }
