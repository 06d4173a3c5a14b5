"""A tiny language model, made-up examples, and a recipe that trains in a second."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

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


IGNORED = -100


@dataclass(frozen=True)
class Padded:
    """The plainest batch: a row an example, padding on the right."""

    input_ids: Tensor
    """int64 (B, T)"""
    attention_mask: Tensor
    """int64 (B, T), 1 on real tokens"""
    labels: Tensor
    """int64 (B, T), the token itself where it counts in the loss, else -100"""


def padded(examples: list[Example], whole: bool) -> Padded:
    """Pad to the longest and mark what counts in the loss."""
    rows, length = len(examples), max(len(example.ids) for example in examples)
    input_ids = torch.zeros(rows, length, dtype=torch.long)
    attention_mask = torch.zeros(rows, length, dtype=torch.long)
    labels = torch.full((rows, length), IGNORED)
    for row, example in enumerate(examples):
        ids = torch.tensor(example.ids)
        first = 1 if whole else max(1, example.answer_start)
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
        labels[row, first : len(ids)] = ids[first:]
    return Padded(input_ids, attention_mask, labels)
