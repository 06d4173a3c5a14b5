"""Rotary attention of rows that examples share, scores kept whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

CACHED = 2**18
"""scores that are computed at once"""
_Turn = tuple[Tensor, Tensor]
"""cos and sin, (n, T, 1, D)"""


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
        turns: tuple[_Turn, _Turn],
        hidden: Tensor,
        scale: float,
    ) -> Tensor:
        """query (n, Q, H, D), key and value (n, T, G, D) -> (n Q, H D).

        ``turns`` are of queries and of keys; ``hidden`` (n, Q, T) is 0 or -inf.
        """
        count, asking, heads, _ = query.shape
        (cos, sin), of_keys = turns
        q = _turned(query, cos * scale, sin * scale)  # (n, H, Q, D)
        k = _repeated(_turned(key, *of_keys), heads)  # (n, H, T, D)
        v = _repeated(value.transpose(1, 2).contiguous(), heads)
        weights = q.new_empty(count, heads, asking, key.shape[1])
        out = torch.empty_like(q)
        for part in _parts(weights):
            mine, over = weights[part].flatten(0, 1), hidden[part, None]  # (m H, Q, T)
            torch.bmm(q[part].flatten(0, 1), k[part].flatten(0, 1).transpose(1, 2), out=mine)
            weights[part].add_(over)
            torch.softmax(mine, -1, out=mine)
            torch.bmm(mine, v[part].flatten(0, 1), out=out[part].flatten(0, 1))
        ctx.turns, ctx.scale, ctx.groups = turns, scale, key.shape[2]
        ctx.save_for_backward(q, k, v, weights)
        return out.transpose(1, 2).reshape(count * asking, -1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, weights = ctx.saved_tensors
        (cos, sin), of_keys = ctx.turns
        count, _, asking, width = q.shape
        grad = grad.view(count, asking, -1, width).transpose(1, 2).contiguous()  # (n, H, Q, D)
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for part in _parts(weights):
            mine, *of = (x[part].flatten(0, 1) for x in (weights, grad, q, k, v, dq, dk, dv))
            mine_grad, mine_q, mine_k, mine_v, into_q, into_k, into_v = of
            torch.bmm(mine.transpose(1, 2), mine_grad, out=into_v)
            dmine = torch.bmm(mine_grad, mine_v.transpose(1, 2))
            dscores = torch._softmax_backward_data(dmine, mine, -1, mine.dtype)
            torch.bmm(dscores, mine_k, out=into_q)
            torch.bmm(dscores.transpose(1, 2), mine_q, out=into_k)
        dquery = _turned_back(dq, cos * ctx.scale, sin * ctx.scale)
        dkey = _turned_back(_summed(dk, ctx.groups), *of_keys)
        return dquery, dkey, _summed(dv, ctx.groups).transpose(1, 2), None, None, None


def _parts(weights: Tensor) -> Iterator[slice]:
    """Rows of ``weights`` (n, H, Q, T) whose scores stay in the cache together."""
    step = max(1, CACHED // weights[0].numel())
    for start in range(0, len(weights), step):
        yield slice(start, start + step)


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
