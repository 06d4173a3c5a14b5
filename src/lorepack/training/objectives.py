"""What a job minimises: losses a token, computed only where they count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lorepack.lora import is_adapted
from lorepack.training.rows import Rows
from lorepack.training.shared_attention import attending


@dataclass(frozen=True)
class NextToken:
    """Cross entropy of the next token: -log p(x_t | x_<t) for every t that counts.

    Radford et al. 2018, eq. 1; on the answer alone, the supervised fine-tuning of Ouyang et al.
    2022, section 3.5.
    """

    whole: bool
    """whether the question counts too, not the answer alone"""

    def __call__(self, model: nn.Module, rows: Rows) -> Tensor:
        """Losses (P,) in nats of the tokens that count; logits are computed for them alone."""
        logits = logits_at(model, rows)  # (P, V)
        return F.cross_entropy(_wide(logits), rows.targets, reduction="none")


OBJECTIVES = {"answer": NextToken(whole=False), "full": NextToken(whole=True)}
"""the losses that a recipe can name"""


def logits_at(model: nn.Module, rows: Rows) -> Tensor:
    """Logits (P, V) at the positions that predict a token of the loss, and nowhere else.

    The output head is given just those hidden states, in their rows where an adapter on the head
    has to tell whose they are. Whatever the family does to logits
    afterwards (Gemma's soft cap, Granite's and Cohere's scale) works element by element and so
    stays right.
    """
    getter = getattr(model, "get_output_embeddings", None)
    head = getter() if getter is not None else None
    inputs = rows.inputs(model)
    with attending(model, rows):
        if head is None:  # no single head to narrow: compute all, keep some
            logits: Tensor = model(**inputs).logits
            return logits[rows.rows, rows.positions]
        if not is_adapted(head):
            with _narrowed(head, rows.rows[None], rows.positions[None]):
                logits = model(**inputs).logits  # (1, P, V)
            return logits[0]
        order = _within_row(rows.rows)
        places = torch.zeros(
            len(rows.owners), int(order.max()) + 1, dtype=torch.long, device=order.device
        )
        places[rows.rows, order] = rows.positions  # (n, L)
        with _narrowed(head, torch.arange(len(places), device=order.device)[:, None], places):
            logits = model(**inputs).logits  # (n, L, V)
    return logits[rows.rows, order]


def _within_row(rows: Tensor) -> Tensor:
    """The number of each token (P,) among those of its row; tokens of a row stand together."""
    counts = torch.bincount(rows)
    before = counts.cumsum(0) - counts
    return torch.arange(len(rows), device=rows.device) - before[rows]


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


def _wide(logits: Tensor) -> Tensor:
    """Logits in at least fp32: a log-sum-exp in bf16 would lose the small losses."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
