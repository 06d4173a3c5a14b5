"""The gate of a gated network, a stretch of tokens at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

STRETCH = 256
"""tokens whose intermediate values stay in the cache of one core"""


class Gated(torch.autograd.Function):
    """silu(gate) · up (Shazeer 2020, eq. 6): what is needed in between never leaves the cache."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        """gate and up (N, m) -> (N, m)."""
        ctx.save_for_backward(gate, up)
        out = torch.empty_like(gate)
        for part in _stretches(len(gate)):
            torch.mul(F.silu(gate[part]), up[part], out=out[part])
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        dgate, dup = torch.empty_like(gate), torch.empty_like(up)
        for part in _stretches(len(gate)):
            torch.mul(grad[part], F.silu(gate[part]), out=dup[part])
            inner = grad[part] * up[part]
            torch.ops.aten.silu_backward.grad_input(inner, gate[part], grad_input=dgate[part])
        return dgate, dup


def _stretches(count: int) -> Iterator[slice]:
    for start in range(0, count, STRETCH):
        yield slice(start, min(count, start + STRETCH))
