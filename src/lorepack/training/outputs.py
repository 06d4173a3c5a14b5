"""What a model gives for the tokens of a loss, computed only where they count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lorepack.lora import is_adapted
from lorepack.training.rows import Rows
from lorepack.training.shared_attention import attending


@dataclass(frozen=True, eq=False)
class Outputs:
    """A model's outputs at the places that predict the P tokens of a loss."""

    logits: Tensor
    """(P, V)"""
    hidden: tuple[Tensor, ...] = ()
    """(P, D) each: the embeddings, then what each layer gives; empty where nobody asked"""

    def at(self, tokens: Tensor | None) -> Outputs:
        """Those of some tokens, int64 (p,); of all where None."""
        if tokens is None:
            return self
        return Outputs(self.logits[tokens], tuple(layer[tokens] for layer in self.hidden))


def outputs_at(model: nn.Module, rows: Rows, hidden: bool = False) -> Outputs:
    """Outputs at the places that predict a token of the loss, and nowhere else.

    The output head is given just those hidden states, in their rows where an adapter on the head
    has to tell whose they are. Whatever the family does to logits
    afterwards (Gemma's soft cap, Granite's and Cohere's scale) works element by element and so
    stays right.

    Args:
        model: a causal language model.
        rows: with P tokens in the loss.
        hidden: whether the hidden states of all layers are wanted too.
    """
    getter = getattr(model, "get_output_embeddings", None)
    head = getter() if getter is not None else None
    inputs = rows.inputs(model)
    if hidden:
        inputs["output_hidden_states"] = True
    with attending(model, rows):
        if head is None:  # no single head to narrow: compute all, keep some
            found: Any = model(**inputs)
            logits: Tensor = found.logits[rows.rows, rows.positions]
        elif not is_adapted(head):
            with _narrowed(head, rows.rows[None], rows.positions[None]):
                found = model(**inputs)
            logits = found.logits[0]  # (1, P, V) before
        else:
            places, order = by_row(rows)
            whole = torch.arange(len(places), device=places.device)[:, None]
            with _narrowed(head, whole, places):
                found = model(**inputs)
            logits = found.logits[rows.rows, order]  # (n, L, V) before
    states = found.hidden_states if hidden else ()
    return Outputs(logits, tuple(state[rows.rows, rows.positions] for state in states))


def by_row(rows: Rows) -> tuple[Tensor, Tensor]:
    """The places that predict a token of the loss, row by row.

    Args:
        rows: n of them, with P tokens in the loss, at most L in a row.

    Returns:
        Places int64 (n, L), 0 where a row has fewer, and where among its row's places each token
        int64 (P,) stands.
    """
    counts = torch.bincount(rows.rows)
    before = counts.cumsum(0) - counts  # tokens of a row stand together
    order = torch.arange(len(rows.rows), device=before.device) - before[rows.rows]
    shape = len(rows.owners), int(order.max()) + 1
    places = torch.zeros(shape, dtype=torch.long, device=order.device)
    places[rows.rows, order] = rows.positions
    return places, order


@contextmanager
def _narrowed(head: nn.Module, rows: Tensor, positions: Tensor) -> Iterator[None]:
    """Give the head the hidden states of some places: indices (…, L) that broadcast."""

    def gather(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0][rows, positions], *args[1:])  # (B, T, D) -> (…, L, D)

    handle = head.register_forward_pre_hook(gather)
    try:
        yield
    finally:
        handle.remove()


def wide(tensor: Tensor) -> Tensor:
    """In at least fp32: a log-sum-exp in bf16 would lose the small losses."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
