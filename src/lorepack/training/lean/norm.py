"""RMS norm of the residual stream in few passes over memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class NormBeside(torch.autograd.Function):
    """RMS norm (Zhang and Sennrich 2019, eq. 4) with a frozen gain, beside its input.

    Returns the normed and the input itself, so that the backward pass meets both gradients at
    once and adds them where it writes anyway.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """x (…, d), gain (d,) -> normed (…, d), x."""
        size = x.shape[-1]
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        inverse = length.square_().div_(size).add_(eps).rsqrt_()  # (…, 1)
        ctx.save_for_backward(x, gain, inverse)
        return (x * inverse).mul_(gain), x.view_as(x)

    @staticmethod
    def backward(ctx: Any, normed: Tensor, beside: Tensor | None) -> tuple[Tensor, None, None]:
        x, gain, inverse = ctx.saved_tensors
        grad = normed * gain
        along = torch.linalg.vecdot(grad, x).unsqueeze(-1)  # (…, 1)
        along.mul_(inverse.pow(3)).div_(-x.shape[-1])
        if beside is None:
            return grad.mul_(inverse).addcmul_(x, along), None, None
        return torch.addcmul(beside, grad, inverse).addcmul_(x, along), None, None
