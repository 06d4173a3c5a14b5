"""Llama's layout of a decoder in few passes over memory, for fp32.

For small models what surrounds the matrix products (norms, rotary positions, the gate) takes as
long as they do. The model's own code stays the rule: what is computed here is compared with it once
a model, and a model with hooks anywhere but on its linear layers goes that way.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lorepack.llm.engine.attention import Form
from lorepack.llm.engine.layout import Cascade, Layout

LAYOUTS = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""model types of Llama's layout"""


def possible(model: Any) -> bool:
    """Whether the layout is known and nobody listens to what is passed by here."""
    config = model.config
    if config.model_type not in LAYOUTS or config.hidden_act != "silu":
        return False
    if model.dtype != torch.float32:
        return False
    inner = model.model
    called = {id(inner.embed_tokens), id(inner.rotary_emb), id(model.lm_head)}
    for layer in inner.layers:
        called |= {id(m) for m in (*layer.self_attn.children(), *layer.mlp.children())}
        called -= {id(m) for m in layer.modules() if not isinstance(m, nn.Linear)}
    return not any(
        (m._forward_hooks or m._forward_pre_hooks) and id(m) not in called for m in model.modules()
    )


def logits(model: Any, layout: Layout, cascade: Cascade, early: bool) -> Tensor:
    """The wanted logits ``(W, V)`` of a pass.

    Args:
        model: one for which this is ``possible``.
        layout: the tokens.
        cascade: their attention.
        early: whether the last layer may go on with the wanted tokens alone; not where hooks
            count the tokens of a pass.
    """
    inner = model.model
    x = inner.embed_tokens(layout.ids)  # (N, d)
    cos, sin = (part[0, :, None] for part in inner.rotary_emb(x[None], layout.places[None]))
    last = len(inner.layers) - 1
    for number, layer in enumerate(inner.layers):
        attended = _attended(layer.self_attn, _normed(layer.input_layernorm, x), cos, sin, cascade)
        if early and number == last:
            attended, x = attended[layout.last], x[layout.last]
        x = _linear(layer.self_attn.o_proj, attended).add_(x)
        x = _gated(layer.mlp, _normed(layer.post_attention_layernorm, x)).add_(x)
    x = _normed(inner.norm, x if early else x[layout.last])
    found: Tensor = model.lm_head(x[None])[0]
    return found


def _attended(attention: Any, x: Tensor, cos: Tensor, sin: Tensor, cascade: Cascade) -> Tensor:
    """Attention before its output product: x ``(N, d)`` -> ``(N, H D)``."""
    query, key, value = (
        _linear(getattr(attention, f"{part}_proj"), x).view(len(x), -1, attention.head_dim)
        for part in "qkv"
    )
    if hasattr(attention, "q_norm"):
        query, key = _normed(attention.q_norm, query), _normed(attention.k_norm, key)
    query, key = _turned(query, cos, sin), _turned(key, cos, sin)
    of_model = getattr(attention.config, "sliding_window", None)
    form = Form(attention.scaling, getattr(attention, "sliding_window", of_model))
    return cascade(query, key, value, form).flatten(1)


def _gated(mlp: Any, x: Tensor) -> Tensor:
    """The gated network (Shazeer 2020, eq. 6): ``(N, d)``."""
    gate = F.silu(_linear(mlp.gate_proj, x), inplace=True)
    return _linear(mlp.down_proj, gate.mul_(_linear(mlp.up_proj, x)))


def _linear(module: nn.Module, x: Tensor) -> Tensor:
    """A product ``(N, out)``; hooks see the shape that transformers gives them."""
    if module._forward_hooks or module._forward_pre_hooks or type(module) is not nn.Linear:
        found: Tensor = module(x[None])[0]
        return found
    return F.linear(x, module.weight, module.bias)


def _normed(norm: Any, x: Tensor) -> Tensor:
    """RMS norm (Zhang and Sennrich 2019, eq. 4) over the last axis."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    inverse = length.square_().div_(x.shape[-1]).add_(norm.variance_epsilon).rsqrt_()
    return (x * inverse).mul_(norm.weight)


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021, eq. 34): x ``(N, H, D)``, cos and sin ``(N, 1, D)``."""
    half = x.shape[-1] // 2
    out = x * cos
    out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1)
    out[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return out
