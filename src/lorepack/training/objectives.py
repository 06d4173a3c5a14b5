"""What a job minimises: losses a token, computed only where they count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lorepack.training.batches import IGNORED, Batch


@dataclass(frozen=True)
class TokenLosses:
    """Losses of the tokens that count, row by row, left to right."""

    values: Tensor
    """float (P,), nats"""
    rows: Tensor
    """int64 (P,), the batch row of each"""


@dataclass(frozen=True)
class NextToken:
    """Cross entropy of the next token: -log p(x_t | x_<t) for every t that counts.

    Radford et al. 2018, eq. 1; on the answer alone, the supervised fine-tuning of Ouyang et al.
    2022, section 3.5.
    """

    whole: bool
    """whether the question counts too, not the answer alone"""

    def __call__(self, model: nn.Module, batch: Batch) -> TokenLosses:
        """The losses of one batch; logits are computed at the positions that need them."""
        targets = batch.labels[:, 1:]  # position t predicts t + 1
        rows, positions = (targets != IGNORED).nonzero(as_tuple=True)
        logits = logits_at(model, batch, rows, positions)  # (P, V)
        values = F.cross_entropy(_wide(logits), targets[rows, positions], reduction="none")
        return TokenLosses(values, rows)


OBJECTIVES = {"answer": NextToken(whole=False), "full": NextToken(whole=True)}
"""the losses that a recipe can name"""


def logits_at(model: nn.Module, batch: Batch, rows: Tensor, positions: Tensor) -> Tensor:
    """Logits (P, V) at chosen (row, position) pairs only.

    The output head is given just those hidden states. Whatever the family does to logits
    afterwards (Gemma's soft cap, Granite's and Cohere's scale) works element by element and so
    stays right.
    """
    getter = getattr(model, "get_output_embeddings", None)
    head = getter() if getter is not None else None
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if head is None:  # no single head to narrow: compute all, keep some
        logits: Tensor = model(**inputs, use_cache=False).logits
        return logits[rows, positions]
    with _narrowed(head, rows, positions):
        logits = model(**inputs, use_cache=False).logits  # (1, P, V)
    return logits[0]


@contextmanager
def _narrowed(head: nn.Module, rows: Tensor, positions: Tensor) -> Iterator[None]:
    def gather(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0][rows, positions][None], *args[1:])  # (B, T, D) -> (1, P, D)

    handle = head.register_forward_pre_hook(gather)
    try:
        yield
    finally:
        handle.remove()


def _wide(logits: Tensor) -> Tensor:
    """Logits in at least fp32: a log-sum-exp in bf16 would lose the small losses."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
