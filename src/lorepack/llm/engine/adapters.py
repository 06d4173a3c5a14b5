"""Adapters of a stack on stretches of a pass: the base's products once, each adapter's beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from lorepack.lora import Stack
from lorepack.lora.kinds import parts_of
from lorepack.lora.site import Site

Run = tuple[int | None, int, int]
"""an adapter, its first token and one past its last"""


class Company:
    """The adapters of a pass's tokens.

    Args:
        stack: attached or not; what it does by itself is switched off in ``acting``.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.runs: Sequence[Run] = ()
        self._factors: dict[tuple[str, int], tuple[Tensor, Tensor, float] | None] = {}

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Add the adapters of ``runs`` to what the model's modules give, in the block."""
        handles = []
        try:
            with self.stack.using(None):
                for site in self.stack.sites.values():
                    handles.append(site.module.register_forward_hook(self._hook(site)))
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, site: Site) -> Callable[..., Tensor]:
        def add(_: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
            return self.add(site, args[0], out)

        return add

    def add(self, site: Site, x: Tensor, out: Tensor) -> Tensor:
        """What each stretch's adapter adds to out ``(1, N, out)``, written in place."""
        for adapter, first, last in self.runs:
            if adapter is None or adapter not in site.slots:
                continue
            mine = out[0, first:last]
            plain = self._plain(site, adapter)
            if plain is not None and mine.dtype == plain[0].dtype:
                A, B, scale = plain
                mine.addmm_(x[0, first:last] @ A, B, alpha=scale)
            else:
                whole = self.stack._add_one(site, x[:, first:last], mine[None], adapter)
                mine.copy_(whole[0])
        return out

    def _plain(self, site: Site, adapter: int) -> tuple[Tensor, Tensor, float] | None:
        """The factors of plain LoRA; None where an adapter does more."""
        key = site.name, adapter
        if key not in self._factors:
            spec, slot = self.stack.specs[adapter], site.slots[adapter]
            rank = spec.rank_of(site.name)
            factors = site.A[slot, :, :rank], site.B[slot, :rank], spec.scale_of(site.name)
            more = parts_of(site, self.stack.specs, adapter)
            self._factors[key] = None if more else factors
        return self._factors[key]
