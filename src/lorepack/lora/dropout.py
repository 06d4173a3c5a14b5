"""Dropout masks that are a pure function of job, step, module, row, position and channel.

A mask drawn from a sequential generator would change with the padding and with the neighbours of
a job in its batch. Here every element hashes its own coordinates, so a job sees the same masks
alone, in a stack, after a resume, and when activations are computed a second time.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def mask_key(seed: int, step: int, module: str) -> int:
    """A 63-bit key for the masks of one job at one step in one module."""
    text = f"{seed}/{step}/{module}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def keep_mask(keys: Tensor, rows: Tensor, drop: Tensor, length: int, width: int) -> Tensor:
    """Which elements of the input survive.

    Args:
        keys: `mask_key` of each row's job, int64 (B,).
        rows: number of each row within its own job's batch, int64 (B,).
        drop: probability of dropping, float64 (B,).
        length: positions T.
        width: channels D.

    Returns:
        bool (B, T, D), True where the element is kept.
    """
    device = keys.device
    positions = torch.arange(length, device=device)
    channels = torch.arange(width, device=device)
    # Two cheap hashes, (B, T) and (D,), meet in one element-wise hash of 32 bits.
    tokens = _mix64((keys ^ _mix64(rows + 1))[:, None] + (positions + 1) * 0x632BE59BD9B4E019)
    bits = tokens.to(torch.int32)[:, :, None] ^ _mix64(channels + 1).to(torch.int32)
    bits = _mix32(bits)  # (B, T, D)
    threshold = (drop * 2.0**32).round().to(torch.int64) - 2**31  # in the order of signed numbers
    return bits >= threshold.to(torch.int32)[:, None, None]


def _mix64(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014), on int64 that wraps."""
    x = (x ^ ((x >> 30) & (2**34 - 1))) * (0xBF58476D1CE4E5B9 - 2**64)
    x = (x ^ ((x >> 27) & (2**37 - 1))) * (0x94D049BB133111EB - 2**64)
    return x ^ ((x >> 31) & (2**33 - 1))


def _mix32(x: Tensor) -> Tensor:
    """A bijective 32-bit hash of full avalanche (Wellons' lowbias32), in place on int32."""
    x ^= (x >> 16) & 0xFFFF
    x *= 0x7FEB352D
    x ^= (x >> 15) & 0x1FFFF
    x *= 0x846CA68B - 2**32
    x ^= (x >> 16) & 0xFFFF
    return x
