"""Rotary attention of rows that examples share, scores kept whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Attention(torch.autograd.Function):
    """Attention (Vaswani et al. 2017, eq. 1) behind rotary positions (Su et al. 2021, eq. 34).

    For short rows one product over the whole row, hidden scores and all, is quicker than to pick
    every example out of it. Turning and changing the layout are one pass over memory.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        turn: tuple[Tensor, Tensor],
        hidden: Tensor,
        scale: float,
    ) -> Tensor:
        """query (n, T, H, D), key and value (n, T, G, D) -> (n T, H D).

        ``turn`` holds cos and sin (n, T, 1, D); ``hidden`` (n, 1, T, T) is 0 or -inf.
        """
        count, length, heads, _ = query.shape
        cos, sin = turn
        q = _turned(query, cos * scale, sin * scale)  # (n, H, T, D)
        k = _repeated(_turned(key, cos, sin), heads)
        v = _repeated(value.transpose(1, 2).contiguous(), heads)
        weights = q.new_empty(count, heads, length, length)
        out = torch.empty_like(q)
        for row in range(count):  # one row's scores stay in the cache
            mine = weights[row]
            torch.bmm(q[row], k[row].transpose(1, 2), out=mine)
            torch.softmax(mine.add_(hidden[row]), -1, out=mine)
            torch.bmm(mine, v[row], out=out[row])
        ctx.turn, ctx.scale, ctx.groups = turn, scale, key.shape[2]
        ctx.save_for_backward(q, k, v, weights)
        return out.transpose(1, 2).reshape(count * length, -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        cos, sin = ctx.turn
        count, _, length, width = q.shape
        grad = grad.view(count, length, -1, width).transpose(1, 2).contiguous()  # (n, H, T, D)
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        dscores = torch.empty_like(weights[0])
        for row in range(count):
            mine = weights[row]
            torch.bmm(mine.transpose(1, 2), grad[row], out=dv[row])
            torch.bmm(grad[row], v[row].transpose(1, 2), out=dscores)
            found = torch._softmax_backward_data(dscores, mine, -1, mine.dtype)
            torch.bmm(found, k[row], out=dq[row])
            torch.bmm(found.transpose(1, 2), q[row], out=dk[row])
        dquery = _turned_back(dq, cos * ctx.scale, sin * ctx.scale)
        dkey = _turned_back(_summed(dk, ctx.groups), cos, sin)
        return dquery, dkey, _summed(dv, ctx.groups).transpose(1, 2), None, None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (n, T, H, D) -> turned (n, H, T, D)."""
    count, length, heads, width = x.shape
    half = width // 2
    out = x.new_empty(count, heads, length, width)
    view = out.transpose(1, 2)
    torch.mul(x, cos, out=view)
    view[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1)
    view[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return out


def _turned_back(grad: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Gradient (n, H, T, D) of `_turned` -> (n, T, H, D)."""
    count, heads, length, width = grad.shape
    half = width // 2
    grad = grad.transpose(1, 2)
    out = torch.mul(grad, cos, out=grad.new_empty(count, length, heads, width))
    out[..., :half].addcmul_(grad[..., half:], sin[..., half:])
    out[..., half:].addcmul_(grad[..., :half], sin[..., :half], value=-1)
    return out


def _repeated(x: Tensor, heads: int) -> Tensor:
    """(n, G, T, D) -> (n, H, T, D), each group's for the heads that share it."""
    return x if x.shape[1] == heads else x.repeat_interleave(heads // x.shape[1], dim=1)


def _summed(grad: Tensor, groups: int) -> Tensor:
    """(n, H, T, D) -> summed over the heads of a group, (n, G, T, D)."""
    count, heads, length, width = grad.shape
    if heads == groups:
        return grad
    return grad.view(count, groups, -1, length, width).sum(2)
