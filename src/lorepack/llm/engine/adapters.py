"""Adapters of a stack on stretches of a pass: the base's products once, each adapter's beside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from lorepack.lora import Stack
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

    def _hook(self, site: Site):  # type: ignore[no-untyped-def]
        def add(_: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
            return self.add(site, args[0], out)

        return add

    def add(self, site: Site, x: Tensor, out: Tensor) -> Tensor:
        """out (1, N, out) with what each stretch's adapter adds; written in place."""
        for adapter, first, last in self.runs:
            if adapter is None or adapter not in site.slots:
                continue
            mine = out[:, first:last]
            mine.copy_(self.stack._add_one(site, x[:, first:last], mine, adapter))
        return out
