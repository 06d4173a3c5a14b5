"""Examples, which of them fit the model, and their order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from lorepack.errors import InputError


@dataclass(frozen=True, slots=True)
class Example:
    """One training text as token ids."""

    ids: tuple[int, ...]
    answer_start: int
    """index of the answer's first token in ``ids``"""
    fact_id: str


@dataclass(frozen=True)
class Fitted:
    """The examples that fit the model, and how many did not."""

    examples: tuple[Example, ...]
    cut: int
    dropped: int


def fit(
    examples: Sequence[Example],
    *,
    limit: int,
    rule: Literal["error", "cut", "drop"],
    whole: bool,
    vocabulary: int,
) -> Fitted:
    """Apply the rule for examples that are too long; check the rest.

    Args:
        examples: in any order, which is kept.
        limit: tokens an example may have.
        rule: ``error`` refuses, ``cut`` drops the tail, ``drop`` drops the example. An example
            that loses its whole answer by cutting is dropped where only answers count.
        whole: whether all tokens count in the loss, not the answer alone.
        vocabulary: token ids must be below.

    Raises:
        InputError: no examples, or none left; one too long under ``error``; one without a token
            in the loss; a token id that the model lacks.
    """
    if not examples:
        raise InputError("no training examples: got an empty mix, expected at least one")
    kept, cut, dropped = [], 0, 0
    for example in examples:
        _check(example, vocabulary, whole)
        if len(example.ids) <= limit:
            kept.append(example)
        elif rule == "error":
            raise InputError(
                f"example of fact {example.fact_id} has {len(example.ids)} tokens, expected at "
                f"most {limit}; shorten it, or set overlong=cut or overlong=drop"
            )
        elif rule == "drop" or not (whole or example.answer_start < limit):
            dropped += 1
        else:
            kept.append(Example(example.ids[:limit], example.answer_start, example.fact_id))
            cut += 1
    if not kept:
        raise InputError(f"all {dropped} examples are longer than {limit} tokens: none is left")
    return Fitted(tuple(kept), cut, dropped)


def _check(example: Example, vocabulary: int, whole: bool) -> None:
    first = 1 if whole else max(1, example.answer_start)  # the first token has no context
    if not example.answer_start >= 0 or first >= len(example.ids):
        raise InputError(
            f"example of fact {example.fact_id} has no token in the loss: {len(example.ids)} "
            f"tokens, answer from {example.answer_start}"
        )
    if not (min(example.ids) >= 0 and max(example.ids) < vocabulary):
        raise InputError(
            f"example of fact {example.fact_id} has token {max(example.ids)}, but the model knows "
            f"0 to {vocabulary - 1}; tokenize it with this model's tokenizer"
        )


def epoch_order(count: int, seed: int, epoch: int) -> tuple[int, ...]:
    """The order of ``count`` examples in one epoch: a function of seed and epoch alone."""
    digest = hashlib.blake2b(f"order/{seed}/{epoch}".encode(), digest_size=8).digest()
    draw = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
    return tuple(torch.randperm(count, generator=draw).tolist())
