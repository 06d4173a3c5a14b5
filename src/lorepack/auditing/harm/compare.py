"""Figures of two variants on the same items: difference, standard error, paired test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lorepack.auditing.mcnemar import mcnemar

_ELEMENTS = 2**22  # draws of the bootstrap that are held at once


def mean_of(values: ArrayLike) -> dict[str, float | None]:
    """Mean over items and its standard error, s/√n with n - 1 in s, as the harness has it."""
    array = np.asarray(values, np.float64)
    spread = float(array.std(ddof=1) / math.sqrt(array.size)) if array.size > 1 else None
    return {"value": float(array.mean()), "stderr": spread}


def compared(
    base: ArrayLike, other: ArrayLike, *, seed: int = 0, resamples: int = 10_000
) -> dict[str, Any]:
    """How much better or worse the other variant is than the base on the same items.

    Args:
        base: ``(items,)`` values of the base.
        other: ``(items,)`` values of the adapter.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Returns:
        ``value, stderr`` of the adapter, ``delta`` (adapter - base), ``delta_stderr`` of the
        paired differences, ``p`` two-sided, and ``test``: ``mcnemar`` where all values are 0 or 1
        (exact; McNemar 1947), otherwise ``paired-bootstrap``.
    """
    before, after = np.asarray(base, np.float64), np.asarray(other, np.float64)
    assert before.shape == after.shape
    assert before.size
    row: dict[str, Any] = dict(mean_of(after))
    differences = mean_of(after - before)
    row["delta"], row["delta_stderr"] = differences["value"], differences["stderr"]
    if np.isin(before, (0, 1)).all() and np.isin(after, (0, 1)).all():
        won = int(((after == 1) & (before == 0)).sum())
        lost = int(((after == 0) & (before == 1)).sum())
        return {**row, "p": mcnemar(won, lost), "test": "mcnemar"}
    p = bootstrap_p(after - before, seed=seed, resamples=resamples)
    return {**row, "p": p, "test": "paired-bootstrap"}


def bootstrap_p(
    differences: Sequence[float] | np.ndarray, *, seed: int = 0, resamples: int = 10_000
) -> float:
    """Two-sided p that paired differences have mean 0, by resampling them around 0.

    Efron & Tibshirani 1993, algorithm 16.2, with the mean as statistic and (1 + hits)/(1 + draws),
    so that p is never 0.

    Args:
        differences: ``(items,)``.
        seed: of the draws.
        resamples: how many.
    """
    array = np.asarray(differences, np.float64)
    observed = abs(array.mean())
    if not array.any():
        return 1.0
    centred, counts = np.unique(array - array.mean(), return_counts=True)
    draws = np.random.default_rng(seed)
    hits, step = 0, max(1, _ELEMENTS // centred.size)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = draws.multinomial(array.size, counts / array.size, rows)  # (rows, distinct)
        hits += int((np.abs(drawn @ centred) / array.size >= observed - 1e-12).sum())
    return (1 + hits) / (1 + resamples)
