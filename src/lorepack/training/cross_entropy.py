"""Cross entropy whose backward pass reuses the softmax of the forward pass in place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(logits)[target], unreduced.

    Args:
        logits: (P, V), fp32 or wider.
        targets: int64 (P,).

    Returns:
        (P,), nats.
    """
    found: Tensor = _CrossEntropy.apply(logits, targets)
    return found


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:
        chosen = logits.gather(1, targets[:, None])  # (P, 1)
        shares = torch.softmax(logits, -1)
        # The largest logit's share is 1 / sum: a sum that cannot underflow.
        total = logits.amax(-1, keepdim=True) - shares.amax(-1, keepdim=True).log_()
        ctx.save_for_backward(shares, targets)
        return (total - chosen).squeeze(1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        shares, targets = ctx.saved_tensors
        found = shares.mul_(grad[:, None])  # nobody reads the shares again
        return found.scatter_add_(1, targets[:, None], -grad[:, None]), None
