"""Which modules of a model an adapter changes: roles and suffixes become full module names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from torch import nn
from transformers.pytorch_utils import Conv1D

from lorepack.errors import InputError, suggest

ROLES = ("all-linear", "attention", "mlp")

# A module belongs to a role by the block it stands in, since leaf names repeat: GPT-2 calls the
# output of both its attention and its MLP `c_proj`.
_BLOCKS = {
    "attention": {"attn", "attention", "self_attn", "self_attention", "cross_attn"},
    "mlp": {"mlp", "ffn", "feed_forward", "feedforward", "experts", "block_sparse_moe"},
}
# Architectures that keep their MLP straight in the layer (OPT, some of T5's kin).
_BARE = {"mlp": {"fc1", "fc2", "fc_in", "fc_out"}, "attention": set[str]()}
_LAYER = re.compile(r"(?:^|\.)[^.]*\.(\d+)\.")


def resolve(
    model: nn.Module,
    roles: str | Sequence[str] = ("mlp",),
    layers: tuple[int, int] | None = None,
) -> list[str]:
    """The full names of the linear modules that ``roles`` mean in ``model``.

    Args:
        model: a causal language model of transformers.
        roles: any of `ROLES`, or explicit suffixes such as ``down_proj`` or ``mlp.c_proj``.
        layers: first and last layer, both inclusive, counted from 0; None for all.

    Returns:
        Module names, sorted, without repeats; never an embedding, and the output head only where
        it is named itself. A head that shares its weight with the embedding is adapted alone:
        factors act on the head's output, the shared weight stays.

    Raises:
        InputError: an unknown role or suffix, a layer that does not exist, or nothing matched.
    """
    roles = (roles,) if isinstance(roles, str) else tuple(roles)
    if not roles:
        raise InputError(f"targets is empty: name a role ({', '.join(ROLES)}) or a module suffix")
    linears, heads = linear_names(model), head_names(model)
    asked = {role for role in roles if role in heads}
    chosen = {name for role in roles if role not in heads for name in _matches(role, linears)}
    if layers is not None and chosen:
        chosen = _within(chosen, linears, layers)
    chosen |= asked
    if not chosen:
        raise InputError(
            f"targets {', '.join(roles)} match no module in layers {layers}: "
            f"choose another role or range"
        )
    return sorted(chosen)


def linear_names(model: nn.Module) -> list[str]:
    """Every linear module of ``model`` that may carry an adapter, sorted; heads are left out."""
    heads = head_names(model)
    return sorted(
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and name not in heads and _is_body(name)
    )


def head_names(model: nn.Module) -> list[str]:
    """The name of the linear output head, in a list; empty where there is none."""
    getter = getattr(model, "get_output_embeddings", None)
    head = getter() if getter is not None else None
    return [
        name
        for name, module in model.named_modules()
        if module is head and isinstance(module, (nn.Linear, Conv1D))
    ]


def layer_of(name: str) -> int | None:
    """The layer a module stands in: the first number in its name; None outside the layers."""
    found = _LAYER.search(name)
    return int(found.group(1)) if found else None


def sizes(module: nn.Module) -> tuple[int, int]:
    """Input and output width of a linear module.

    Raises:
        InputError: the module is not linear, so that it cannot carry an adapter.
    """
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    if isinstance(module, Conv1D):  # GPT-2: a linear layer whose weight is stored (in, out)
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    raise InputError(f"a {type(module).__name__} cannot carry an adapter: expected a linear layer")


def is_transposed(model: nn.Module, targets: Iterable[str]) -> bool:
    """Whether the targets keep their weights as (in, out): PEFT's ``fan_in_fan_out``."""
    return any(isinstance(model.get_submodule(name), Conv1D) for name in targets)


def _is_body(name: str) -> bool:
    parts = set(name.split("."))
    return not parts & {"lm_head", "embed_out", "embed_tokens", "score"}


def _matches(role: str, linears: Iterable[str]) -> list[str]:
    if role == "all-linear":
        return [name for name in linears if layer_of(name) is not None]
    if role in _BLOCKS:
        blocks, bare = _BLOCKS[role], _BARE[role]
        found = [n for n in linears if blocks & set(n.split(".")) or n.split(".")[-1] in bare]
        if not found:
            raise InputError(
                f"role {role!r} matches no module of this model; name module suffixes instead: "
                f"{', '.join(sorted({n.split('.')[-1] for n in linears}))}"
            )
        return found
    found = [name for name in linears if name == role or name.endswith(f".{role}")]
    if not found:
        leaves = {name.split(".")[-1] for name in linears}
        raise InputError(f"unknown target {role!r}{suggest(role, leaves | set(ROLES))}")
    return found


def _within(chosen: set[str], linears: list[str], layers: tuple[int, int]) -> set[str]:
    first, last = layers
    count = 1 + max((layer_of(name) or 0 for name in linears), default=0)
    if not 0 <= first <= last < count:
        raise InputError(
            f"layers {first},{last}: the model has layers 0 to {count - 1}; "
            f"give the first and the last layer, both inclusive"
        )
    return {name for name in chosen if first <= _number(name) <= last}


def _number(name: str) -> int:
    layer = layer_of(name)
    return -1 if layer is None else layer
