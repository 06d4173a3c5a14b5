"""Frozen linear layers that read the same input, each with the adapters of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from lorepack.lora import Stack
from lorepack.lora.stack import Site


@dataclass(frozen=True)
class Company:
    """Which adapters the rows of a pass carry."""

    stack: Stack
    owners: tuple[int, ...]
    """the adapter of each row"""

    def factors(self, name: str) -> Factors | None:
        """The factors of one module for these rows; None where no row adapts it."""
        site = self.stack.sites.get(name)
        if site is None or not any(owner in site.slots for owner in self.owners):
            return None
        scales = [
            self.stack.specs[owner].scale_of(name) if owner in site.slots else 0.0
            for owner in self.owners
        ]
        return self._in_order(site, scales) or self._gathered(site, scales)

    @cached_property
    def _alike(self) -> tuple[list[int], int]:
        """The jobs in turn, and how many rows each has; 0 where they are not alike."""
        jobs = list(dict.fromkeys(self.owners))
        each, rest = divmod(len(self.owners), len(jobs))
        alike = not rest and [job for job in jobs for _ in range(each)] == list(self.owners)
        return jobs, each if alike else 0

    def _in_order(self, site: Site, scales: list[float]) -> Factors | None:
        """Slices of the stack's own factors, where the rows are adapters one after the other."""
        jobs, each = self._alike
        slots = [site.slots.get(job, -1) for job in jobs]
        first = slots[0]
        if not each or first < 0 or slots != list(range(first, first + len(slots))):
            return None
        span = slice(first, first + len(slots))
        grads = []
        for factor in (site.A, site.B):
            if factor.grad is None:
                factor.grad = torch.zeros_like(factor)
            grads.append(factor.grad[span])
        scale = _column(scales[::each], site.A)
        return Factors(site.A, site.B, site.A.detach()[span], site.B.detach()[span], scale, grads)

    def _gathered(self, site: Site, scales: list[float]) -> Factors:
        """Copies by row; zeros for a row whose adapter leaves the module alone."""
        slots = torch.tensor([site.slots.get(o, 0) for o in self.owners], device=site.A.device)
        A, B = site.A.index_select(0, slots), site.B.index_select(0, slots)
        if 0.0 in scales:  # filled, not multiplied: what breaks one job must not reach another
            none = _column(scales, site.A) == 0
            A, B = A.masked_fill(none, 0), B.masked_fill(none, 0)
        return Factors(A, B, A.detach(), B.detach(), _column(scales, site.A), None)


@dataclass(frozen=True)
class Factors:
    """What one module's adapters add to k groups of rows."""

    leaf_a: Tensor
    """what gradients go to: (k, in, R), or all of the stack's where ``grads`` takes them"""
    leaf_b: Tensor
    A: Tensor
    """(k, in, R)"""
    B: Tensor
    """(k, R, out)"""
    scale: Tensor
    """(k, 1, 1)"""
    grads: list[Tensor] | None
    """slices of the stack's own gradients, which are written at once"""


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]


def linears(
    x: Tensor,
    modules: Sequence[nn.Module],
    factors: Sequence[Factors | None],
    residual: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """W x + s B A x (+ residual) of several modules that read the same input.

    Args:
        x: (N, in), rows of the pass behind each other.
        modules: linear layers, frozen.
        factors: what their adapters add; None for nothing.
        residual: (N, out), added to the outputs.

    Returns:
        (N, out) of each.
    """
    leaves: list[Tensor | None] = []
    for part in factors:
        leaves += [part.leaf_a, part.leaf_b] if part is not None else [None, None]
    found: tuple[Tensor, ...] = _Linears.apply(x, residual, modules, factors, *leaves)
    return found


class _Linears(torch.autograd.Function):
    """LoRA beside frozen layers (Hu et al. 2021, eq. 3), forward and back in place where it can.

    Outputs start as the base's product (or the residual), and the adapter's is accumulated by the
    matrix product itself; so is every gradient of the input.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        residual: Tensor | None,
        modules: Sequence[nn.Module],
        factors: Sequence[Factors | None],
        *leaves: Tensor | None,
    ) -> tuple[Tensor, ...]:
        outs, lows = [], []
        for module, part in zip(modules, factors, strict=True):
            weight: Tensor = module.weight.t()  # type: ignore[operator,union-attr]
            bias: Tensor | None = module.bias  # type: ignore[assignment]
            start = bias if residual is None else residual
            out = x @ weight if start is None else torch.addmm(start, x, weight)
            if residual is not None and bias is not None:
                out += bias
            if part is not None:
                low = torch.bmm(_grouped(x, part), part.A).mul_(part.scale)  # (k, N/k, R)
                _grouped(out, part).baddbmm_(low, part.B)
                lows.append(low)
            outs.append(out)
        ctx.modules, ctx.factors, ctx.has_residual = modules, factors, residual is not None
        ctx.save_for_backward(x, *lows)
        return tuple(outs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, *lows = ctx.saved_tensors
        dx: Tensor | None = None
        leaves: list[Tensor | None] = []
        for module, part, grad in zip(ctx.modules, ctx.factors, grads, strict=True):
            if ctx.needs_input_grad[0]:
                dx = grad @ module.weight if dx is None else dx.addmm_(grad, module.weight)
            if part is None:
                leaves += [None, None]
                continue
            low, mine = lows.pop(0), _grouped(grad, part)
            back = torch.bmm(mine, part.B.transpose(1, 2)).mul_(part.scale)  # (k, N/k, R)
            if dx is not None:
                _grouped(dx, part).baddbmm_(back, part.A.transpose(1, 2))
            pairs = ((_grouped(x, part), back), (low, mine))
            if part.grads is None:
                leaves += [torch.bmm(a.transpose(1, 2), b) for a, b in pairs]
            else:
                for into, (a, b) in zip(part.grads, pairs, strict=True):
                    into.baddbmm_(a.transpose(1, 2), b)
                leaves += [None, None]
        residual = grads[0] if ctx.has_residual else None
        return (dx, residual, None, None, *leaves)


def _grouped(flat: Tensor, part: Factors) -> Tensor:
    """(N, d) -> (k, N/k, d)."""
    return flat.view(part.A.shape[0], -1, flat.shape[-1])
