"""Adapters with random weight on tiny models, and the same adapter in PEFT."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn

from lorepack.lora import AdapterSpec, Stack


def tokens(rows: int, length: int, seed: int = 0) -> Tensor:
    """Random token ids (rows, length) without special tokens."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(3, 250, (rows, length), generator=draw)


def fill(stack: Stack, seed: int = 0, spread: float = 0.1) -> None:
    """Give every adapter of the stack random factors, each from its own index."""
    for index in range(len(stack)):
        draw = torch.Generator().manual_seed(seed * 1000 + index)
        factors = {
            name: tuple(
                # Magnitudes (1-D) stay near the norms that they begin as.
                part * (1 + torch.rand(part.shape, generator=draw))
                if part.ndim == 1
                else torch.randn(part.shape, generator=draw) * spread
                for part in parts
            )
            for name, parts in stack.factors(index).items()
        }
        stack.load_factors(index, factors)


def stack_of(model: nn.Module, specs: Sequence[AdapterSpec], seed: int = 0) -> Stack:
    """A stack whose adapters all have weight."""
    stack = Stack(model, specs, list(range(len(specs))))
    fill(stack, seed)
    return stack


def in_peft(model: nn.Module, stack: Stack, index: int) -> PeftModel:
    """A copy of ``model`` that carries one adapter of ``stack`` as PEFT computes it."""
    spec = stack.specs[index]
    config = LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,  # type: ignore[arg-type]
        use_rslora=spec.rslora,
        lora_dropout=spec.dropout,
        target_modules=list(spec.targets),
        rank_pattern=dict(spec.ranks),
        alpha_pattern=dict(spec.alphas),
        use_dora=spec.kind == "dora",
    )
    wrapped = get_peft_model(copy.deepcopy(model), config)  # type: ignore[arg-type]
    for name, factors in stack.factors(index).items():
        layer: Any = wrapped.base_model.model.get_submodule(name)
        for half, factor in zip(
            (layer.lora_A, layer.lora_B, layer.lora_magnitude_vector), factors, strict=False
        ):
            half["default"].weight.data = factor.clone()
    return wrapped.eval()  # type: ignore[return-value]
