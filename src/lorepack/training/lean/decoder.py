"""Llama's layout of a decoder, forward and back for training adapters, in few passes over memory.

On a processor most of a small model's step goes to what surrounds its matrix products: norms,
rotary positions, masks, copies of factors, sums of gradients. Here each layer is four fused
functions, and the last layer's second half runs only where the loss looks. The model's own forward
pass stays the rule: what is computed here is checked against it, and everything that is not of
this layout, or not plain LoRA without dropout, goes that way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lorepack.lora import Stack, is_adapted
from lorepack.training.lean.attention import Attention
from lorepack.training.lean.gate import Gated
from lorepack.training.lean.linear import Company, linears
from lorepack.training.lean.norm import NormBeside
from lorepack.training.lean.picked import Picked, picked
from lorepack.training.outputs import by_row, outputs_at
from lorepack.training.rows import Rows, visible

LAYOUTS = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""model types of Llama's layout"""
LONGEST = 256
"""tokens of a row; beyond, whole score matrices cost more than they save"""


NEAR = 1e-3
"""largest difference of a logit from the model's own, relative to the largest logit"""
_AGREES: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def fits(model: nn.Module, stack: Stack, rows: Rows) -> bool:
    """Whether this way computes what the model would; the first rows of a model are compared.

    Args:
        model: of transformers.
        stack: attached; plain LoRA without dropout is needed.
        rows: of the pass.
    """
    if not _known(model, stack, rows):
        return False
    if model not in _AGREES:
        with stack.using(rows.owners, train=True):
            want = outputs_at(model, rows).logits.detach()
        if not bool(torch.isfinite(want).all()):
            return False  # a job is broken; whether the ways agree is seen when it is gone
        got = logits(model, stack, rows).detach()
        near = NEAR * float(want.abs().max().clamp(min=1))
        _AGREES[model] = torch.allclose(got, want, rtol=0, atol=near)
    return _AGREES[model]


def _known(model: nn.Module, stack: Stack, rows: Rows) -> bool:
    """Whether the layout is known, by what model, stack and rows say of themselves."""
    config: Any = model.config
    weight: Tensor = model.get_input_embeddings().weight  # type: ignore[operator]
    window = getattr(config, "sliding_window", None)
    return (
        config.model_type in LAYOUTS
        and config.hidden_act == "silu"
        and weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and rows.input_ids.shape[1] <= LONGEST
        and (window is None or window >= rows.take.shape[1])
        and not any(spec.dropout or spec.kind != "lora" for spec in stack.specs)
        and not any(spec.init == "pissa" for spec in stack.specs)
        and all(isinstance(site.module, nn.Linear) for site in stack.sites.values())
        and not _hooked(model)
    )


def _hooked(model: nn.Module) -> bool:
    """Whether somebody but a stack listens to modules that are passed by here."""
    called = {id(model.model.embed_tokens), id(model.model.rotary_emb)}  # type: ignore[union-attr]
    for module in model.modules():
        hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)
        hooks += len(module._backward_hooks) + len(module._backward_pre_hooks)
        if hooks > is_adapted(module) and id(module) not in called:
            return True
    return False


@dataclass(frozen=True)
class _Pass:
    """What all layers of a forward pass share."""

    company: Company
    turn: tuple[Tensor, Tensor]
    """cos and sin of the places, (n, T, 1, D)"""
    hidden: Tensor
    """(n, T, T), added to scores: 0, or -inf where a token must not look"""
    picked: Picked | None
    """how examples attend one by one, where that is quicker"""


def logits(model: Any, stack: Stack, rows: Rows) -> Tensor:
    """Logits (P, V) at the positions that predict a token of the loss.

    Args:
        model: one that `fits`.
        stack: its adapters act on the rows by their owners; it need not be attached.
        rows: of the pass.
    """
    inner = model.model
    hidden = inner.embed_tokens(rows.input_ids)  # (n, T, d)
    cos, sin = inner.rotary_emb(hidden, rows.places)
    turn = cos[:, :, None], sin[:, :, None]
    given = _Pass(
        Company(stack, rows.owners),
        turn,
        torch.zeros((), dtype=hidden.dtype).where(visible(rows.segments)[:, 0], -torch.inf),
        picked(rows, turn),
    )
    x = hidden.flatten(0, 1)  # (N, d), N = n T
    last = len(inner.layers) - 1
    where, back = _wanted(rows)
    for number, layer in enumerate(inner.layers):
        # In the last layer only the tokens of the loss ask and go on; all are looked at.
        asking = where if number == last else None
        attended, x = _attended(layer, f"model.layers.{number}", x, given, asking)
        x = _finished(layer, f"model.layers.{number}", attended, x, given)
    x, _ = _normed(inner.norm, x)
    factors = given.company.factors("lm_head")
    if factors is None:
        return F.linear(x.index_select(0, back), model.lm_head.weight, model.lm_head.bias)
    (found,) = linears(x, [model.lm_head], [factors])
    return found.index_select(0, back)


def _attended(
    layer: Any, name: str, x: Tensor, given: _Pass, asking: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Attention before its output product, (M, H D), and the residual stream beside it, (M, d).

    M are all N tokens, or those that are asking.
    """
    attention, count = layer.self_attn, given.hidden.shape[0]
    modules = {part: getattr(attention, f"{part}_proj") for part in "qkv"}
    normed, x = _normed(layer.input_layernorm, x)
    turn, hidden = given.turn, given.hidden
    if asking is None:
        found = _linears(normed, name, "self_attn", "qkv", [*modules.values()], given)
    else:
        chosen = normed.index_select(0, asking)
        found = (
            *_linears(chosen, name, "self_attn", "q", [modules["q"]], given),
            *_linears(normed, name, "self_attn", "kv", [modules["k"], modules["v"]], given),
        )
        x = x.index_select(0, asking)
        cos, sin, hidden = (
            part.flatten(0, 1).index_select(0, asking).view(count, -1, *part.shape[2:])
            for part in (*turn, hidden)
        )
        turn = cos, sin
    query, key, value = (part.view(count, -1, part.shape[-1]) for part in found)
    query, key, value = (
        part.unflatten(-1, (-1, attention.head_dim)) for part in (query, key, value)
    )  # (n, T, H, D)
    if hasattr(attention, "q_norm"):
        query, key = _normed(attention.q_norm, query)[0], _normed(attention.k_norm, key)[0]
    if asking is None and given.picked is not None:
        return given.picked.attended(query, key, value, attention.scaling), x
    turns = (turn, given.turn)
    return Attention.apply(query, key, value, turns, hidden, attention.scaling), x


def _finished(layer: Any, name: str, attended: Tensor, x: Tensor, given: _Pass) -> Tensor:
    """The rest of a layer: attention's output product and the gated network, added to x (N, d)."""
    attention, mlp = layer.self_attn, layer.mlp
    (x,) = _linears(attended, name, "self_attn", "o", [attention.o_proj], given, x)
    normed, x = _normed(layer.post_attention_layernorm, x)
    gate, up = _linears(normed, name, "mlp", ("gate", "up"), [mlp.gate_proj, mlp.up_proj], given)
    (x,) = _linears(Gated.apply(gate, up), name, "mlp", ("down",), [mlp.down_proj], given, x)
    return x


def _linears(
    x: Tensor,
    layer: str,
    part: str,
    which: Iterable[str],
    modules: Sequence[nn.Module],
    given: _Pass,
    residual: Tensor | None = None,
) -> tuple[Tensor, ...]:
    names = (f"{layer}.{part}.{one}_proj" for one in which)
    return linears(x, modules, [given.company.factors(name) for name in names], residual)


def _normed(norm: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    found: tuple[Tensor, Tensor] = NormBeside.apply(x, norm.weight, norm.variance_epsilon)
    return found


def _wanted(rows: Rows) -> tuple[Tensor, Tensor]:
    """Tokens (n L,) that the loss looks at, L a row, and where each of (P,) stands among them."""
    places, order = by_row(rows)
    count, width = places.shape
    first = torch.arange(count, device=places.device)[:, None] * rows.input_ids.shape[1]
    return (first + places).flatten(), rows.rows * width + order
