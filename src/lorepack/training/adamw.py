"""AdamW over a stack: every adapter has its own learning rate, decay, count of steps and clip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from lorepack.lora import Stack
from lorepack.lora.stack import Site


class AdamW:
    """Decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), adapter by adapter.

    The same updates as ``torch.optim.AdamW`` gives each adapter alone. Adapters that do not take
    part in a step keep factors, moments and count.

    Args:
        stack: its factors are updated in place.
        weight_decay: one an adapter.
        betas: decay of the two moments.
        eps: added to the root of the second moment.
    """

    def __init__(
        self,
        stack: Stack,
        weight_decay: Sequence[float],
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        assert len(weight_decay) == len(stack)
        self.stack = stack
        self.weight_decay = tuple(weight_decay)
        self.betas, self.eps = betas, eps
        self.counts = [0] * len(stack)
        """steps that each adapter has taken"""
        self.moments: dict[str, Tensor] = {}
        """``NAME.A.first`` and so on, the shapes of the stack's factors"""
        for key, _, parameter in _factors(stack):
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
            rank = spec.rank_of(name)
            here, there = self.stack.sites[name], other.stack.sites[name]
            to, origin = here.slots[index], there.slots[source]
            for side, key in (("A", (slice(None), slice(rank))), ("B", (slice(rank),))):
                pairs = [(getattr(here, side), getattr(there, side))]
                pairs += [
                    (self.moments[f"{name}.{side}.{m}"], other.moments[f"{name}.{side}.{m}"])
                    for m in ("first", "second")
                ]
                for mine, theirs in pairs:
                    mine[to][key] = theirs[origin][key]

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
        parts: list[list[Tensor]] = [[] for _ in self.stack.specs]
        for _, site, parameter in _factors(self.stack):
            if parameter.grad is not None:
                norms = torch.linalg.vector_norm(parameter.grad, dim=(1, 2))  # (m,)
                for index, slot in site.slots.items():
                    parts[index].append(norms[slot].to(device))
        none = torch.zeros(1, device=device)
        norms = torch.stack(
            [torch.linalg.vector_norm(torch.stack(p)) if p else none[0] for p in parts]
        )
        found: list[float] = norms.tolist()
        factors = [
            min(1.0, limit / (norm + 1e-6)) if limit else 1.0
            for norm, limit in zip(found, limits, strict=True)
        ]
        if min(factors) < 1:
            for _, site, parameter in _factors(self.stack):
                if parameter.grad is not None:
                    members = sorted(site.slots, key=site.slots.__getitem__)
                    parameter.grad.mul_(_column(parameter, [factors[i] for i in members]))
        return found

    @torch.no_grad()
    def step(self, lrs: Sequence[float | None]) -> None:
        """One update from the gradients.

        Args:
            lrs: the learning rate of each adapter; None leaves it as it is.
        """
        self.counts = [n + (lr is not None) for n, lr in zip(self.counts, lrs, strict=True)]
        for key, site, parameter in _factors(self.stack):
            if parameter.grad is None:
                continue
            members = sorted(site.slots, key=site.slots.__getitem__)
            active = [i for i in members if lrs[i] is not None]
            moments = self.moments[f"{key}.first"], self.moments[f"{key}.second"]
            tensors = (parameter, parameter.grad, *moments)
            if len(active) == len(members):
                self._update(tensors, active, lrs)
            elif active:
                chosen = torch.tensor([site.slots[i] for i in active], device=parameter.device)
                parts = [tensor[chosen] for tensor in tensors]
                self._update(parts, active, lrs)
                for tensor, part in zip(tensors, parts, strict=True):
                    tensor[chosen] = part

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

        beta1, beta2 = self.betas
        first.lerp_(grad, 1 - beta1)
        second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        root = second.sqrt().div_(column(lambda i: (1 - beta2 ** self.counts[i]) ** 0.5))
        root.add_(self.eps)
        factor.mul_(column(lambda i: 1 - (lrs[i] or 0.0) * self.weight_decay[i]))
        rate = column(lambda i: (lrs[i] or 0.0) / (1 - beta1 ** self.counts[i]))
        factor.sub_(first / root * rate)


def _factors(stack: Stack) -> Iterator[tuple[str, Site, torch.nn.Parameter]]:
    for name, site in stack.sites.items():
        yield f"{name}.A", site, site.A
        yield f"{name}.B", site, site.B


def _column(like: Tensor, values: Sequence[float]) -> Tensor:
    """Values, one a slot, as (k, 1, 1)."""
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None, None]
