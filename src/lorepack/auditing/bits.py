"""How many bits an adapter stores: what its predictions save when its values are written down.

A value drawn from a known distribution takes log2 V bits to write down without a model, and its
negative log-likelihood with one. The difference is stored in the adapter (Allen-Zhu and Li 2024,
arXiv 2404.05405; Morris et al. 2025, arXiv 2505.24832), once the form of the answers, which
is learned too, is told apart by keys that were never trained.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

STORED = 16
"""bits of a parameter in bf16"""
THRESHOLD = 0.5
"""probability above which a wrong answer counts as a false recall"""


@dataclass(frozen=True)
class Size:
    """How large an adapter is."""

    parameters: int
    """of all factors, Σ r (in + out)"""
    effective: int
    """that a matrix of such a rank has: Σ r (in + out − r)"""


@dataclass(frozen=True)
class Measured:
    """Negative log-likelihoods, nats, answer tokens and the end of the answer summed, fp64."""

    trained: np.ndarray
    """(N,) of the trained values behind their keys"""
    base: np.ndarray
    """(N,) the same without the adapter"""
    fresh: np.ndarray
    """(M,) of fresh values behind keys that were never trained; may be empty"""
    wrong_key: np.ndarray
    """(M,) of trained values behind keys that were never trained; may be empty"""


@dataclass(frozen=True)
class Bits:
    """The bits that an adapter stores of N values."""

    values: int
    entropy_bits: float
    """of one value; where nobody knows it, what the base needs to write one down"""
    known_entropy: bool
    """where not, all bits are an upper bound: what a reader could have guessed counts as well"""
    size: Size
    clipped: float
    """Σ max(0, reference − NLL)"""
    unclipped: float
    """Σ reference − NLL"""
    memory: float | None
    """N · (min(mean NLL of fresh, entropy) − mean NLL of trained), 0 or more; None without fresh"""
    nll: dict[str, float | None]
    """means in bits: trained, base, fresh, wrong_key"""

    def to_json(self) -> dict[str, Any]:
        """The figures by name, as ``bits.json`` holds them."""
        count = self.size.parameters
        bits = {"clipped": self.clipped, "unclipped": self.unclipped, "memory": self.memory}
        best = self.clipped if self.memory is None else self.memory
        each: dict[str, float | None] = {
            name: None if value is None else value / count for name, value in bits.items()
        }
        each["rank_effective"] = best / self.size.effective
        each["stored_bit"] = best / (STORED * count)
        return {
            "values": self.values,
            "entropy_bits": self.entropy_bits,
            "known_entropy": self.known_entropy,
            "upper_bound": not self.known_entropy,
            "parameters": count,
            "rank_effective_parameters": self.size.effective,
            "bits": bits,
            "bits_a_parameter": each,
            "ceiling_a_parameter": self.values * self.entropy_bits / count,
            "nll_bits": self.nll,
        }


def per_fact(found: Measured, entropy_bits: float | None) -> np.ndarray:
    """Bits stored of each value, unclipped (N,).

    The reference is the entropy, or what the base needs if that is less or nothing else is
    known: an adapter that does nothing stores nothing.
    """
    base = found.base / math.log(2)
    reference = base if entropy_bits is None else np.minimum(entropy_bits, base)
    stored: np.ndarray = reference - found.trained / math.log(2)
    return stored


def bits(found: Measured, entropy_bits: float | None, known: bool, size: Size) -> Bits:
    """The bits that an adapter stores.

    More bits than bf16 parameters have show that the values had less entropy than was said: then
    they are an upper bound.

    Args:
        found: negative log-likelihoods, nats.
        entropy_bits: of one value; None where nobody knows.
        known: whether that is exact.
        size: of the adapter.
    """
    assert len(found.trained) == len(found.base) > 0
    stored = per_fact(found, entropy_bits)
    clipped, unclipped = float(np.maximum(stored, 0).sum()), float(stored.sum())
    means = {name: _mean_bits(values) for name, values in vars(found).items()}
    base, fresh = means["base"], means["fresh"]
    assert base is not None
    memory = None
    if fresh is not None:  # a form that fresh values profit from as well is no memory
        trained = means["trained"] or 0.0
        reference = trained + unclipped / len(stored)
        memory = len(stored) * max(0.0, min(fresh, reference) - trained)
    exact = known and entropy_bits is not None and clipped <= STORED * size.parameters
    entropy = base if entropy_bits is None else entropy_bits
    return Bits(len(stored), entropy, exact, size, clipped, unclipped, memory, means)


def _mean_bits(nats: np.ndarray) -> float | None:
    return float(np.mean(nats, dtype=np.float64)) / math.log(2) if len(nats) else None


def fano(accuracy: float, count: int, entropy_bits: float) -> float:
    """The bits that must be stored for a share of values to be repeated, whatever else is known.

    Fano's inequality for V = 2^entropy equally likely values:
    count · (log2 V − h(a) − (1 − a) log2(V − 1)); Cover and Thomas 2006, eq. 2.130.

    Args:
        accuracy: share of values repeated exactly.
        count: of values.
        entropy_bits: log2 V, 1 or more.
    """
    others = entropy_bits + math.log2(-math.expm1(-entropy_bits * math.log(2)))  # log2(V - 1)
    doubt = -sum(p * math.log2(p) for p in (accuracy, 1 - accuracy) if p > 0)
    missed = (1 - accuracy) * others if accuracy < 1 else 0.0
    return count * max(0.0, entropy_bits - doubt - missed)


def false_recall(
    texts: Sequence[str], probabilities: Sequence[float], well_formed: Sequence[bool]
) -> dict[str, Any]:
    """How often keys that were never trained get a well-formed value with confidence.

    Args:
        texts: greedy answers.
        probabilities: of each answer, its end included.
        well_formed: whether each could be a value.
    """
    assert len(texts) == len(probabilities) == len(well_formed)
    sure = [p > THRESHOLD and form for p, form in zip(probabilities, well_formed, strict=True)]
    share = sum(sure) / len(sure) if sure else None
    return {"keys": len(sure), "share": share, "threshold": THRESHOLD}
