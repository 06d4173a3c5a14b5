"""Examples, which of them fit the model, and their order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    teacher_ids: tuple[int, ...] = ()
    """what the teacher of a distillation reads: passage and question, then the same answer"""

    def counted(self, whole: bool) -> int:
        """Tokens in the loss: those of the answer, or all; the first has no context."""
        return len(self.ids) - (1 if whole else max(1, self.answer_start))


@dataclass(frozen=True)
class Fitted:
    """The examples that fit the model, and how many did not."""

    examples: tuple[Example, ...]
    cut: int
    dropped: int


NOTHING = Fitted((), 0, 0)


def fit(
    examples: Sequence[Example],
    *,
    limit: int,
    rule: Literal["error", "cut", "drop"],
    whole: bool,
    vocabulary: int,
    teacher_limit: int | None = None,
) -> Fitted:
    """Apply the rule for examples that are too long; check the rest.

    Args:
        examples: in any order, which is kept.
        limit: tokens an example may have.
        rule: ``error`` refuses, ``cut`` drops the tail, ``drop`` drops the example. An example
            that loses its whole answer by cutting is dropped where only answers count.
        whole: whether all tokens count in the loss, not the answer alone.
        vocabulary: token ids must be below.
        teacher_limit: tokens that a teacher's sequence may have; None where none is needed.
            Cutting takes as many tokens from it as from the example, so that both end alike.

    Raises:
        InputError: no examples, or none left; one too long under ``error``; one without a token
            in the loss; a token id that the model lacks; a teacher's sequence that is missing or
            does not end with the example's answer.
    """
    if not examples:
        raise InputError("no training examples: got an empty mix, expected at least one")
    kept, cut, dropped = [], 0, 0
    for example in examples:
        _check(example, vocabulary, whole)
        if teacher_limit is not None:
            _check_teacher(example, vocabulary)
        elif example.teacher_ids:
            example = replace(example, teacher_ids=())  # nobody reads them
        beyond, told = _excess(example, limit, teacher_limit)
        if beyond <= 0:
            kept.append(example)
        elif rule == "error":
            raise InputError(
                f"example of fact {example.fact_id} has {told}; shorten it, or set overlong=cut "
                "or overlong=drop"
            )
        elif rule == "drop" or beyond >= example.counted(whole):
            dropped += 1
        else:
            ids, teacher = example.ids[:-beyond], example.teacher_ids[:-beyond]
            kept.append(replace(example, ids=ids, teacher_ids=teacher))
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


def _check_teacher(example: Example, vocabulary: int) -> None:
    ids, answer = example.teacher_ids, example.ids[max(1, example.answer_start) :]
    if not ids:
        raise InputError(
            f"example of fact {example.fact_id} has no teacher_ids, which distillation needs: "
            "give the passage, the question and the answer as token ids"
        )
    if len(ids) <= len(answer) or ids[-len(answer) :] != answer:
        raise InputError(
            f"example of fact {example.fact_id}: its {len(ids)} teacher_ids do not end with the "
            f"{len(answer)} tokens of its answer, ids[answer_start:], behind at least one more"
        )
    if not (min(ids) >= 0 and max(ids) < vocabulary):
        raise InputError(
            f"example of fact {example.fact_id} has token {max(ids)} in its teacher_ids, but the "
            f"model knows 0 to {vocabulary - 1}; tokenize it with this model's tokenizer"
        )


def _excess(example: Example, limit: int, teacher_limit: int | None) -> tuple[int, str]:
    """Tokens beyond a limit, and which limit that is."""
    found = (len(example.ids) - limit, f"{len(example.ids)} tokens, expected at most {limit}")
    if teacher_limit is None:
        return found
    length = len(example.teacher_ids)
    other = f"{length} tokens for its teacher, expected at most {teacher_limit}"
    return max(found, (length - teacher_limit, other), key=lambda pair: pair[0])


def epoch_order(count: int, seed: int, epoch: int, of: str = "order") -> tuple[int, ...]:
    """The order of ``count`` examples in one epoch: a function of seed, epoch and name alone."""
    digest = hashlib.blake2b(f"{of}/{seed}/{epoch}".encode(), digest_size=8).digest()
    draw = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
    return tuple(torch.randperm(count, generator=draw).tolist())
