"""A tiny language model, made-up examples, and a recipe that trains in a second."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from torch import nn

from lorepack.training import Example, Recipe
from tiny_models import CONTEXT, tiny


@dataclass(frozen=True)
class ToyModel:
    """What `train` needs of a language model, and no more."""

    model: nn.Module
    tokenizer: Any = field(default_factory=lambda: SimpleNamespace(pad_token_id=0))
    device: Any = "cpu"
    name: str = "toy"
    fingerprint: str = "c" * 64
    context: int = CONTEXT


def toy(family: str = "llama", double: bool = False) -> ToyModel:
    """A random model of two layers."""
    model = tiny(family)
    return ToyModel(model.double() if double else model)


def made(count: int, seed: int = 0) -> list[Example]:
    """Examples of 6 to 18 random tokens whose answers are the last 2 to 5."""
    draw = random.Random(seed)
    examples = []
    for number in range(count):
        ids = tuple(draw.randrange(3, 250) for _ in range(draw.randint(6, 18)))
        examples.append(Example(ids, len(ids) - draw.randint(2, 5), f"fact{number}"))
    return examples


def recipe(**changes: Any) -> Recipe:
    """A small recipe: rank 4 on the MLP, batches of 4, 2 epochs."""
    values: dict[str, Any] = {
        "rank": 4,
        "alpha": 8,
        "targets": ["mlp"],
        "lr": 1e-3,
        "epochs": 2,
        "batch_size": 4,
        "checkpoint_every": 3,
    }
    return Recipe(**{**values, **changes})
