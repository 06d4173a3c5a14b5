"""PiSSA: an adapter that begins as the principal part of the weight it adapts.

Meng et al. 2024 (arXiv 2404.02948), eq. 2 to 4: with W = U S Vᵀ, A and B begin as the r largest
singular values and their vectors, and what is left of W is frozen. Here W itself stays, since many
adapters share it, and each takes its own principal part off: y = W x - s B0 A0 x + s B A x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lorepack.lora.base_weight import dense
from lorepack.lora.spec import AdapterSpec, module_of


class Decompositions:
    """The largest singular values of a model's modules, each computed once.

    Args:
        model: frozen; its weights must not change while this is in use.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._found: dict[str, tuple[Tensor, Tensor]] = {}

    def top(self, name: str, rank: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """A (rank, in) and B (out, rank) whose product is the nearest to W of this rank.

        The whole decomposition is made, so that what one rank gets does not depend on others.
        """
        A, B = self._found.get(name, (None, None))
        if A is None or B is None or A.shape[0] < rank or A.dtype != dtype:
            weight = dense(module_of(self._model, name), dtype)
            U, S, Vh = torch.linalg.svd(weight, full_matrices=False)
            root = S[:rank].sqrt()
            A, B = root[:, None] * Vh[:rank], U[:, :rank] * root
            self._found[name] = A, B
        return A[:rank], B[:, :rank]


@dataclass(eq=False)
class Principal:
    """The frozen principal parts that the PiSSA adapters of one module began as."""

    A: Tensor
    """(k, in, R), k the PiSSA adapters of the module"""
    B: Tensor
    """(k, R, out)"""
    scales: Tensor
    """(k, 1, 1), the factor on B A"""
    slots: dict[int, int]
    """adapter -> its place in A and B"""

    @classmethod
    def of(cls, members: dict[int, int], scales: list[float], A: Tensor, B: Tensor) -> Principal:
        """Copies of the first factors.

        Args:
            members: the PiSSA adapters and their places in A and B.
            scales: of each, the factor on B A.
            A: (m, in, R) of the module.
            B: (m, R, out).
        """
        places = list(members.values())
        kept = torch.tensor(scales, dtype=A.dtype, device=A.device)[:, None, None]
        slots = {adapter: slot for slot, adapter in enumerate(members)}
        return cls(A[places].clone(), B[places].clone(), kept, slots)

    def product(self, x: Tensor, which: int | Tensor) -> Tensor:
        """s B0 A0 x.

        Args:
            x: (…, T, in), without dropout.
            which: the place of the adapter, or int64 (b,) of each row's.

        Returns:
            (…, T, out).
        """
        return (x @ self.A[which]) @ self.B[which] * self.scales[which]


def scaled_factors(
    found: Decompositions, name: str, spec: AdapterSpec, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """First lora_A (r, in) and lora_B (out, r): s B A is the principal part of W (eq. 2 and 3)."""
    A, B = found.top(name, spec.rank_of(name), dtype)
    root = math.sqrt(spec.scale_of(name))
    return A / root, B / root


def plain_spec(spec: AdapterSpec) -> AdapterSpec:
    """The LoRA adapter of twice the rank that computes B A - B0 A0 with the same factor s."""
    grown = math.sqrt(2) if spec.rslora else 2
    return replace(
        spec,
        init="kaiming",
        rank=2 * spec.rank,
        alpha=grown * spec.alpha,
        ranks={name: 2 * rank for name, rank in spec.ranks.items()},
        alphas={name: grown * alpha for name, alpha in spec.alphas.items()},
    )
