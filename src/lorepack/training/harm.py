"""Harm: how far an adapter moves the base on text that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from lorepack.lora import Stack
from lorepack.training.batches import Example
from lorepack.training.job import Base, pad_id
from lorepack.training.objectives.divergence import divergence, log_probabilities
from lorepack.training.outputs import outputs_at
from lorepack.training.rows import lay_out

TOKENS = 4096
"""of one forward pass"""


@torch.no_grad()
def harm(lm: Base, stack: Stack, adapter: int, guard: Sequence[Example]) -> float:
    """KL(base ‖ adapted), the mean over all tokens of some texts, dropout off.

    Args:
        lm: the base.
        stack: attached.
        adapter: which of the stack's.
        guard: texts; all their tokens count but the first.

    Returns:
        Nats a token; see `lorepack.training.objectives.divergence.BaseKL` for the equation.
    """
    total, tokens = 0.0, 0
    for batch in _batches(guard):
        rows = lay_out([(adapter, True, [example]) for example in batch], pad_id(lm))
        rows = rows.to(lm.device)
        found = []
        for which in (None, adapter):
            with stack.using(which):
                found.append(log_probabilities(outputs_at(lm.model, rows).logits))
        total += float(divergence(*found).double().sum())
        tokens += len(rows.targets)
    return total / tokens


def _batches(texts: Sequence[Example]) -> Iterator[list[Example]]:
    batch: list[Example] = []
    for text in texts:
        longest = max(len(other.ids) for other in [*batch, text])
        if batch and longest * (len(batch) + 1) > TOKENS:
            yield batch
            batch = []
        batch.append(text)
    yield batch
