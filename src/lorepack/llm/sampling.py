"""Draws that depend on what is drawn and never on the batch it is drawn in.

Every draw has its own uniform number, a hash of ``(seed, key, sample, step)`` by the mixing
function of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
generators", section 3), and becomes a token by inverting the cumulative distribution. The
distribution is laid out by token id, so that rounding of two near-equal logits moves its borders by
as little and cannot swap two tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def key_of(key: int | str) -> int:
    """A 64-bit number for a row's key; strings are hashed."""
    if isinstance(key, str):
        return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
    return int(key) & 0xFFFFFFFFFFFFFFFF


def keys_of(keys: Sequence[int | str]) -> np.ndarray:
    """``key_of`` for many: ``(n,)`` uint64."""
    return np.array([key_of(key) for key in keys], dtype=np.uint64)


def uniforms(
    seed: int, keys: np.ndarray, samples: np.ndarray, step: int | np.ndarray
) -> np.ndarray:
    """One number in [0, 1) for every row.

    Args:
        seed: any integer.
        keys: ``(n,)`` uint64, what a row is about.
        samples: ``(n,)`` integers, which of its samples.
        step: how many tokens the row has already; one number, or ``(n,)``.

    Returns:
        ``(n,)`` float64 with 53 random bits.
    """
    with np.errstate(over="ignore"):
        state = _mix(np.full(len(keys), key_of(seed), np.uint64))
        steps = np.broadcast_to(np.asarray(step, np.uint64), keys.shape)
        for part in (keys, samples.astype(np.uint64), steps):
            state = _mix(state + _GOLDEN * (part + np.uint64(1)))
        return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(z: np.ndarray) -> np.ndarray:
    """SplitMix64's finalizer: a bijection of 64-bit numbers without visible structure."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def draw(
    logits: torch.Tensor,
    rows: torch.Tensor,
    numbers: torch.Tensor,
    temperature: float,
    top_k: int,
) -> torch.Tensor:
    """One token a draw, from the tempered softmax over the ``top_k`` likeliest tokens.

    Args:
        logits: ``(n, V)``.
        rows: ``(m,)`` int64, which row of ``logits`` a draw is from.
        numbers: ``(m,)`` float64 in [0, 1).
        temperature: above 0.
        top_k: how many tokens stay; 0 for all.

    Returns:
        ``(m,)`` int64 token ids.
    """
    assert temperature > 0
    width = logits.shape[-1]
    if 0 < top_k < width:
        kept, ids = logits.float().topk(top_k, dim=-1)  # (n, k)
        ids, order = ids.sort(dim=-1)
        kept = kept.gather(-1, order)
    else:
        kept, ids = logits.float(), None
    mass = torch.softmax(kept.double() / temperature, dim=-1).cumsum(-1)  # (n, k)
    at = torch.searchsorted(mass[rows], (numbers * mass[rows, -1])[:, None], right=True)
    at = at.clamp_max(mass.shape[-1] - 1)  # (m, 1)
    return at[:, 0] if ids is None else ids[rows].gather(-1, at)[:, 0]
