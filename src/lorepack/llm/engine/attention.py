"""Cascade attention: a prefix that rows share is met by all of them in one product.

A token's softmax runs over two stretches of keys, those of its shared prefix and those of its own
row. Each stretch gives sums of its own (Milakov and Gimelshein 2018, "Online normalizer
calculation for softmax", section 3); they are joined exactly, in fp32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_HIDDEN = -1e30  # a score that no key may have; finite, so that a stretch of such keys stays so
_SCORES = 2**21  # scores made at once: 8 MiB


@dataclass(slots=True)
class Stretch:
    """Sums over one stretch of keys, for every token and head.

    Attributes:
        out: ``(N, H, D)`` fp32, values weighted by exp(score - top).
        top: ``(N, H)`` the largest score.
        mass: ``(N, H)`` the sum of the weights.
    """

    out: Tensor
    top: Tensor
    mass: Tensor

    @classmethod
    def empty(cls, like: Tensor) -> Stretch:
        """Sums over no keys, for queries ``(N, H, D)``."""
        (count, heads, width), device = like.shape, like.device
        return cls(
            torch.zeros(count, heads, width, device=device),
            torch.full((count, heads), _HIDDEN, device=device),
            torch.zeros(count, heads, device=device),
        )

    def put(self, rows: slice | Tensor, other: Stretch) -> None:
        """Write the sums of some tokens."""
        self.out[rows], self.top[rows], self.mass[rows] = other.out, other.top, other.mass


@dataclass(frozen=True, slots=True)
class Form:
    """How a layer scores.

    Attributes:
        scaling: factor of the products.
        window: keys that a token sees, itself included; None for all.
        softcap: bound of the scores by tanh; None for none.
    """

    scaling: float
    window: int | None = None
    softcap: float | None = None


def stretch(
    query: Tensor, keys: Tensor, values: Tensor, form: Form, hidden: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """One softmax's sums over one stretch of keys, before they are divided.

    Args:
        query: ``(…, M, D)``.
        keys: ``(…, S, D)``.
        values: ``(…, S, E)``.
        form: how to score.
        hidden: bool, True where a key is not seen; of a shape that fits ``(…, M, S)``.

    Returns:
        ``(…, M, E)``, top ``(…, M)`` and mass ``(…, M)``, fp32.
    """
    weights = _scores(query, keys, form)
    if form.softcap is not None:
        weights.div_(form.softcap).tanh_().mul_(form.softcap)
    if hidden is not None:
        weights.masked_fill_(hidden, _HIDDEN)
    top = weights.amax(-1, keepdim=True)
    weights.sub_(top).exp_()
    mass = weights.sum(-1)
    out = torch.matmul(weights.to(values.dtype), values).float()
    return out, top[..., 0], mass


def _scores(query: Tensor, keys: Tensor, form: Form) -> Tensor:
    """fp32 ``(…, M, S)``; half precision is widened first, since a rounded score is a wrong one."""
    return torch.matmul(query.float() * form.scaling, keys.float().transpose(-1, -2))


def joined(one: Stretch, other: Stretch) -> Tensor:
    """The softmax over both stretches: ``(N, H, D)``; one of them must hold a key a token."""
    top = torch.maximum(one.top, other.top)
    left, right = (one.top - top).exp_(), (other.top - top).exp_()
    whole = (one.mass * left).addcmul_(other.mass, right).reciprocal_()
    mine = one.out.mul_(left.mul_(whole)[..., None])
    return mine.addcmul_(other.out, right.mul_(whole)[..., None])


def over_prefix(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    places: Tensor,
    form: Form,
    into: Stretch,
    first: int,
) -> None:
    """Tokens that stand behind one prefix, over its keys.

    Args:
        query: ``(n, H, D)``.
        keys: ``(G, P, D)`` of the prefix, at places 0 to P - 1.
        values: ``(G, P, D)``.
        places: ``(n,)`` of the tokens.
        form: how to score.
        into: where the sums go.
        first: the place of the first of these tokens in ``into``.
    """
    groups, length, width = keys.shape
    count, heads = query.shape[0], query.shape[1]
    step = max(1, _SCORES // (heads * length))
    for start in range(0, count, step):
        part = query[start : start + step]
        size = part.shape[0]
        asked = part.view(size, groups, -1, width).transpose(0, 1).reshape(groups, -1, width)
        hidden = None
        if form.window is not None:
            seen = torch.arange(length, device=query.device)
            hidden = places[start : start + step, None] - seen >= form.window  # (n, P)
            hidden = hidden.repeat_interleave(heads // groups, 0)
        out, top, mass = stretch(asked, keys, values, form, hidden)
        rows = slice(first + start, first + start + size)
        into.out[rows].view(size, groups, -1, width).copy_(
            out.view(groups, size, -1, width).transpose(0, 1)
        )
        into.top[rows].view(size, groups, -1).copy_(top.view(groups, size, -1).transpose(0, 1))
        into.mass[rows].view(size, groups, -1).copy_(mass.view(groups, size, -1).transpose(0, 1))


def over_rows(
    query: Tensor, keys: Tensor, values: Tensor, hidden: Tensor | None, form: Form
) -> Stretch:
    """Rows over their own keys.

    Args:
        query: ``(n, T, H, D)``.
        keys: ``(n, G, S, D)``.
        values: ``(n, G, S, D)``.
        hidden: bool ``(n or 1, T, S)``, True where a key is not seen.
        form: how to score.

    Returns:
        The sums of the ``n T`` tokens.
    """
    count, length, heads, width = query.shape
    groups, size = keys.shape[1], keys.shape[2]
    rep = heads // groups
    outs, tops, masses = [], [], []
    step = max(1, _SCORES // (heads * length * size))
    for start in range(0, count, step):
        rows = slice(start, start + step)
        asked = query[rows].view(-1, length, groups, rep, width).permute(0, 2, 3, 1, 4)
        asked = asked.reshape(-1, groups, rep * length, width)
        mask = None
        if hidden is not None:
            mask = hidden[rows] if hidden.shape[0] > 1 else hidden
            mask = mask[:, None].repeat(1, 1, rep, 1)
        out, top, mass = stretch(asked, keys[rows], values[rows], form, mask)
        outs.append(out.view(-1, groups, rep, length, width).permute(0, 3, 1, 2, 4))
        tops.append(top.view(-1, groups, rep, length).permute(0, 3, 1, 2))
        masses.append(mass.view(-1, groups, rep, length).permute(0, 3, 1, 2))
    return Stretch(
        _joined(outs).reshape(-1, heads, width),
        _joined(tops).reshape(-1, heads),
        _joined(masses).reshape(-1, heads),
    )


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def alone(query: Tensor, keys: Tensor, values: Tensor, form: Form) -> Tensor:
    """Rows that begin with nothing shared, over themselves: the backend's own causal attention.

    Args:
        query: ``(n, T, H, D)``.
        keys: ``(n, G, T, D)``.
        values: ``(n, G, T, D)``.
        form: without window and softcap.

    Returns:
        ``(n T, H, D)``.
    """
    out = F.scaled_dot_product_attention(
        query.transpose(1, 2),
        keys,
        values,
        is_causal=True,
        scale=form.scaling,
        enable_gqa=query.shape[2] != keys.shape[1],
    )
    return out.transpose(1, 2).flatten(0, 1)
