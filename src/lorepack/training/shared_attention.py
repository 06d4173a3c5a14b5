"""Attention in rows that examples share: each example attends as if it stood alone.

A mask over the whole row would cost the square of its length, most of it hidden. Here queries, keys
and values are gathered example by example, the shared prefix before each; causal attention
without a mask does the rest, and what it gives goes back to its places in the rows. Padding stands
behind the examples, where causal attention never looks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from lorepack.training.rows import Rows

NAME = "lorepack_shared_rows"
_ROWS: ContextVar[Rows] = ContextVar("rows of the forward pass under way")


@contextmanager
def attending(model: nn.Module, rows: Rows) -> Iterator[None]:
    """Let the model attend example by example for the block, where its rows are shared.

    Models that bring their own attention (``eager``, for soft caps) get a mask with their inputs
    instead; see `Rows.inputs`.
    """
    if not (rows.shared and gathers(model)):
        yield
        return
    config: Any = model.config
    before = config._attn_implementation
    token = _ROWS.set(rows)
    try:
        config._attn_implementation = NAME
        yield
    finally:
        config._attn_implementation = before
        _ROWS.reset(token)


def gathers(model: nn.Module) -> bool:
    """Whether a model's attention can be exchanged for this one."""
    config: Any = model.config
    return config._attn_implementation in ("sdpa", NAME)


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """query (n, H, T, D), key and value (n, G, T, D) -> (n, T, H, D)."""
    rows = _ROWS.get()
    query_alone, key_alone, value_alone = (
        _gathered(part, rows.take) for part in (query, key, value)
    )
    out, _ = sdpa_attention_forward(  # (E, L, H, D)
        module, query_alone, key_alone, value_alone, None, **options
    )
    count, _, length, _ = query.shape
    back = out.flatten(0, 1).index_select(0, rows.put)  # (n T, H, D)
    return back.view(count, length, *back.shape[1:]), None


def _gathered(part: Tensor, take: Tensor) -> Tensor:
    """(n, H, T, D) -> (E, H, L, D)."""
    flat = part.transpose(1, 2).flatten(0, 1)  # (n T, H, D)
    chosen = flat.index_select(0, take.flatten())
    return chosen.view(*take.shape, *chosen.shape[1:]).transpose(1, 2)


AttentionInterface.register(NAME, _attend)
