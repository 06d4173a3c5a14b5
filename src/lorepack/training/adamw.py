"""AdamW over a stack: every adapter has its own learning rate, decay, count of steps and clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from lorepack.lora import Stack

Trains = Literal["both", "A", "B"]
"""which factors of an adapter are trained; DoRA's magnitudes always are"""


class AdamW:
    """Decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), adapter by adapter.

    The same updates as ``torch.optim.AdamW`` gives each adapter alone. Adapters that do not take
    part in a step keep factors, moments and count.

    Args:
        stack: its factors are updated in place.
        weight_decay: one an adapter.
        ratios: of each adapter, the rate of B and of DoRA's magnitudes divided by that of A
            (LoRA+, Hayou et al. 2024, arXiv 2402.12354); None for 1.
        trains: of each adapter, which factors are trained; None for both.
        betas: decay of the two moments.
        beta2: of each adapter, decay of the second moment, in place of that in ``betas``.
        eps: added to the root of the second moment.
    """

    def __init__(
        self,
        stack: Stack,
        weight_decay: Sequence[float],
        ratios: Sequence[float] | None = None,
        trains: Sequence[Trains] | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        beta2: Sequence[float] | None = None,
    ) -> None:
        assert len(weight_decay) == len(stack)
        self.stack = stack
        self.weight_decay = tuple(weight_decay)
        self.ratios = tuple(ratios or (1.0,) * len(stack))
        self.trains = tuple(trains or ("both",) * len(stack))
        self.beta1, self.eps = betas[0], eps
        self.beta2 = tuple(beta2 or (betas[1],) * len(stack))
        self.counts = [0] * len(stack)
        """steps that each adapter has taken"""
        self.moments: dict[str, Tensor] = {}
        """``NAME.A.first`` and so on, the shapes of the stack's factors"""
        for key, _, _, parameter in _trained(stack):
            self.moments[f"{key}.first"] = torch.zeros_like(parameter, requires_grad=False)
            self.moments[f"{key}.second"] = torch.zeros_like(parameter, requires_grad=False)

    @torch.no_grad()
    def take(self, index: int, other: AdamW, source: int) -> None:
        """Take over an adapter of another stack: its factors, moments and count of steps.

        Args:
            index: the adapter here.
            other: where it comes from.
            source: the adapter there; of the same spec.
        """
        spec = self.stack.specs[index]
        assert spec == other.stack.specs[source]
        self.counts[index] = other.counts[source]
        for name in spec.targets:
            theirs = {side: (s, t) for side, s, t in other.stack.sites[name].tensors()}
            for side, slots, tensor in self.stack.sites[name].tensors():
                if index not in slots:
                    continue
                place, (origins, origin) = slots[index], theirs[side]
                _copy(tensor[place], origin[origins[source]])
                for key in (f"{name}.{side}.first", f"{name}.{side}.second"):
                    if key in self.moments:
                        _copy(self.moments[key][place], other.moments[key][origins[source]])

    def size(self, index: int) -> int:
        """How many numbers an adapter trains."""
        sides = ("A", "B", "magnitude")
        return sum(
            factor.numel()
            for factors in self.stack.factors(index).values()
            for side, factor in zip(sides, factors, strict=False)
            if self._is_trained(side, index)
        )

    def _is_trained(self, side: str, index: int) -> bool:
        return side == "magnitude" or self.trains[index] in ("both", side)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.stack.parameters():
            parameter.grad = None

    @torch.no_grad()
    def clip(self, limits: Sequence[float | None]) -> list[float]:
        """Scale down each adapter's gradient to its limit (Pascanu et al. 2013, algorithm 1).

        Returns:
            The gradient norm of each adapter before.
        """
        device = next(self.stack.parameters()).device
        squares = torch.zeros(len(self.stack), dtype=torch.float64, device=device)
        for _, side, slots, parameter in _trained(self.stack):
            if parameter.grad is not None:
                norms = torch.linalg.vector_norm(parameter.grad, dim=(1, 2))  # (m,)
                mine = [index for index in slots if self._is_trained(side, index)]
                if len(mine) < len(slots):
                    norms = norms[[slots[index] for index in mine]]
                places = torch.tensor(mine, dtype=torch.long, device=device)
                squares.index_add_(0, places, norms.to(device, torch.float64).square())
        found: list[float] = squares.sqrt().tolist()
        factors = [
            min(1.0, limit / (norm + 1e-6)) if limit else 1.0
            for norm, limit in zip(found, limits, strict=True)
        ]
        if min(factors) < 1:
            for _, _, slots, parameter in _trained(self.stack):
                if parameter.grad is not None:
                    members = sorted(slots, key=slots.__getitem__)
                    parameter.grad.mul_(_column(parameter, [factors[i] for i in members]))
        return found

    @torch.no_grad()
    def step(self, lrs: Sequence[float | None]) -> None:
        """One update from the gradients.

        Args:
            lrs: the learning rate of each adapter; None leaves it as it is.
        """
        self.counts = [n + (lr is not None) for n, lr in zip(self.counts, lrs, strict=True)]
        for key, side, slots, parameter in _trained(self.stack):
            if parameter.grad is None:
                continue
            rates = [
                None if lr is None or not self._is_trained(side, i) else self._rate(side, i, lr)
                for i, lr in enumerate(lrs)
            ]
            members = sorted(slots, key=slots.__getitem__)
            active = [i for i in members if rates[i] is not None]
            moments = self.moments[f"{key}.first"], self.moments[f"{key}.second"]
            tensors = (parameter, parameter.grad, *moments)
            if len(active) == len(members):
                self._update(tensors, active, rates)
            elif active:
                chosen = torch.tensor([slots[i] for i in active], device=parameter.device)
                parts = [tensor[chosen] for tensor in tensors]
                self._update(parts, active, rates)
                for tensor, part in zip(tensors, parts, strict=True):
                    tensor[chosen] = part

    def _rate(self, side: str, index: int, lr: float) -> float:
        return lr if side == "A" else lr * self.ratios[index]

    def _update(
        self,
        tensors: Sequence[Tensor],
        adapters: Sequence[int],
        lrs: Sequence[float | None],
    ) -> None:
        """Factor, gradient, two moments, each (k, …), one row an adapter; in place."""
        factor, grad, first, second = tensors

        def column(value: Callable[[int], float]) -> Tensor:
            return _column(factor, [value(i) for i in adapters])

        beta1, beta2 = self.beta1, self.beta2
        first.lerp_(grad, 1 - beta1)
        if len({beta2[i] for i in adapters}) == 1:
            kept = beta2[adapters[0]]
            second.mul_(kept).addcmul_(grad, grad, value=1 - kept)
        else:
            second.mul_(column(lambda i: beta2[i]))
            second.addcmul_(grad, grad * column(lambda i: 1 - beta2[i]))
        root = second.sqrt().div_(column(lambda i: (1 - beta2[i] ** self.counts[i]) ** 0.5))
        root.add_(self.eps)
        if any(self.weight_decay[i] for i in adapters):
            factor.mul_(column(lambda i: 1 - (lrs[i] or 0.0) * self.weight_decay[i]))
        rate = column(lambda i: (lrs[i] or 0.0) / (1 - beta1 ** self.counts[i]))
        factor.addcdiv_(first * rate, root, value=-1)


def _trained(
    stack: Stack,
) -> Iterator[tuple[str, str, dict[int, int], torch.nn.Parameter]]:
    """Key, side (``A``, ``B``, ``magnitude``), places of the adapters, parameter (m, …, …)."""
    for name, site in stack.sites.items():
        for side, slots, parameter in site.trained():
            yield f"{name}.{side}", side, slots, parameter


def _copy(mine: Tensor, theirs: Tensor) -> None:
    """Copy what both have room for: beyond that, either is padding of zeros."""
    shared = tuple(slice(min(sizes)) for sizes in zip(mine.shape, theirs.shape, strict=True))
    mine[shared] = theirs[shared]


def _column(like: Tensor, values: Sequence[float]) -> Tensor:
    """Values, one a slot, as (k, 1, 1)."""
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]
