"""One call's use of a model: its passes, and the adapters that act in them."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from lorepack.errors import InputError
from lorepack.llm.engine.adapters import Company
from lorepack.llm.engine.layout import Fresh, Going, Layout
from lorepack.llm.engine.model import Model
from lorepack.llm.engine.states import Slots
from lorepack.lora import Stack

Adapters = Sequence[int | None]
"""the stack's adapter of each prompt, None for the base"""


def kinds_of(adapters: Adapters | None) -> list[int] | None:
    """Adapters as the numbers of a tree's kinds."""
    return None if adapters is None else [-1 if a is None else a for a in adapters]


def check_places(adapters: Adapters, stack: Stack) -> None:
    """Every adapter must be one of the stack's: another would be answered for by the base.

    Raises:
        InputError: one is not.
    """
    count = len(stack.specs)
    wrong = next((a for a in adapters if a is not None and not 0 <= a < count), None)
    if wrong is not None:
        raise InputError(f"adapters: got {wrong}; the stack holds {count}, counted from 0")


class Session:
    """A model and, where prompts name adapters, the stack that holds them.

    Args:
        model: one that fits the engine.
        stack: whose adapters are named; None to take the model as it is.
    """

    def __init__(self, model: Any, stack: Stack | None) -> None:
        self.engine = Model(model)
        self.device = self.engine.device
        self.last: Layout | None = None
        """of the latest pass: how much it was, where memory runs out"""
        self._company = None if stack is None else Company(stack)

    @contextmanager
    def open(self) -> Iterator[Session]:
        """The adapters act on the passes of the block, and on nothing else."""
        with nullcontext() if self._company is None else self._company.acting():
            yield self

    def run(self, layout: Layout, slots: Slots | None = None) -> Tensor:
        """The wanted logits ``(W, V)`` of a pass."""
        self.last = layout
        if self._company is not None:
            self._company.runs = layout.adapters
        return self.engine.run(layout, slots, early=self._company is None)

    def fresh(self, rows: Sequence[Fresh]) -> Tensor:
        """A pass of rows that begin and keep nothing."""
        return self.run(Layout(rows, Going.none(), [], self.device))

    def release(self) -> None:
        """Give back memory that nothing refers to any more."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
