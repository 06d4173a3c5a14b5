"""The rows of a step: each carries one job, and what its examples begin with only once.

A chat template and the first words of a question are the same in every example of a batch. In a
padded batch each row computes them again, and short rows compute padding besides. Here examples
of one job stand in one row: the common prefix, then what is left of each. A mask lets every token
see the prefix and its own example, and positions go on from the prefix, so that each token
computes what it computes alone. With a row a job, a stack of adapters multiplies each row by its
own factors without gathering them. Models that tell tokens apart by their place in the row get a
row an example.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, takewhile
from typing import Any

import torch
from torch import Tensor, nn

from lorepack.llm.cache import is_plain
from lorepack.training.batches import Example

MOST = 192
"""tokens of a row that examples share, about: attention in longer ones costs more than it saves"""
PREFIX, _PADDING = 0, -1  # segments; an example's is its number in the row, from 1
_BY_PLACE_IN_ROW = frozenset({"bloom", "falcon", "mamba", "mamba2", "mpt", "rwkv"})


@dataclass(frozen=True)
class Rows:
    """Examples of several jobs, laid out in rows; padding stands on the right."""

    owners: tuple[int, ...]
    """the job of each row"""
    input_ids: Tensor
    """int64 (n, T)"""
    places: Tensor
    """int64 (n, T), positions within the example"""
    segments: Tensor
    """int64 (n, T): 0 the common prefix, k the rest of the row's k-th example, -1 padding"""
    rows: Tensor
    """int64 (P,), the row of each token in the loss"""
    positions: Tensor
    """int64 (P,), the place in the row whose logits predict it"""
    targets: Tensor
    """int64 (P,), the token"""
    jobs: Tensor
    """int64 (P,), the job that it belongs to"""
    examples: Tensor
    """int64 (P,), the number of its example among all of these rows, from 0"""
    answers: Tensor
    """bool (P,), whether the token is one of the answer"""
    take: Tensor
    """int64 (E, L), the tokens of each example among the (n T) of all rows, prefix first"""
    put: Tensor
    """int64 (n T,), where each token of the rows stands among the (E L) of ``take``"""

    @property
    def shared(self) -> bool:
        """Whether some row holds more than one example."""
        return self.take.shape[0] > self.input_ids.shape[0]

    def to(self, device: Any) -> Rows:
        """The same on another device."""
        tensors = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **tensors)  # type: ignore[arg-type]

    def inputs(self, model: nn.Module) -> dict[str, Any]:
        """What the model is called with, inside `attending`."""
        if not self.shared:
            whole = (self.segments != _PADDING).long()
            return {"input_ids": self.input_ids, "attention_mask": whole, "use_cache": False}
        inputs = {"input_ids": self.input_ids, "position_ids": self.places, "use_cache": False}
        if model.config._attn_implementation == "eager":  # type: ignore[union-attr]
            # Eager attention adds its mask to the scores.
            hidden = ~visible(self.segments)
            dtype = next(model.parameters()).dtype
            scores = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device)
            inputs["attention_mask"] = scores.masked_fill_(hidden, torch.finfo(dtype).min)
        return inputs


def can_share(config: Any, longest: int) -> bool:
    """Whether a model computes the same for a token in a row that several examples share.

    It must read positions from ``position_ids`` and see what the mask says: no recurrent or
    convolutional state, no window shorter than an example, no bias by distance in the row.

    Args:
        config: of a transformers model.
        longest: tokens of the longest example.
    """
    inner = config.get_text_config(decoder=True)
    if inner.model_type in _BY_PLACE_IN_ROW or not is_plain(config):
        return False
    window = getattr(inner, "sliding_window", None)
    return window is None or longest <= window


def split(examples: Sequence[Example], share: bool, most: int = MOST) -> list[list[Example]]:
    """Which examples of a job's step share a row: a function of the step alone.

    Args:
        examples: of one step.
        share: whether rows may hold more than one.
        most: tokens of a row that holds more than one, exceeded by less than one example.
    """
    prefix = common(examples)
    lengths = [len(example.ids) - prefix for example in examples]
    count = math.ceil(sum(lengths) / max(1, most - prefix))
    if not share or count >= len(examples):
        return [[example] for example in examples]
    rows: list[list[Example]] = [[] for _ in range(count)]
    before = 0
    for example, length in zip(examples, lengths, strict=True):
        rows[before * count // sum(lengths)].append(example)  # equal rows need no padding
        before += length
    return [row for row in rows if row]


def lay_out(rows: Sequence[tuple[int, bool, Sequence[Example]]], pad_id: int) -> Rows:
    """Make tensors of rows.

    Args:
        rows: job, whether questions count in its loss too, and the row's examples.
        pad_id: any known token.
    """
    made = [_row(examples, whole) for _, whole, examples in rows]
    length = max(len(row.ids) for row in made)
    input_ids = torch.full((len(made), length), pad_id)
    places = torch.zeros(len(made), length, dtype=torch.long)
    segments = torch.full((len(made), length), _PADDING)
    for number, row in enumerate(made):
        input_ids[number, : len(row.ids)] = torch.tensor(row.ids)
        places[number, : len(row.ids)] = torch.tensor(row.places)
        segments[number, : len(row.ids)] = torch.tensor(row.segments)
    owners = tuple(job for job, _, _ in rows)
    counts = [len(row.loss) for row in made]
    loss = torch.tensor([entry for row in made for entry in row.loss])  # (P, 4)
    positions, targets, numbers, answers = loss.T
    before = [0, *accumulate(len(row.spans) for row in made)][:-1]  # examples of earlier rows
    return Rows(
        owners=owners,
        input_ids=input_ids,
        places=places,
        segments=segments,
        rows=torch.repeat_interleave(torch.tensor(counts)),
        positions=positions,
        targets=targets,
        jobs=torch.repeat_interleave(torch.tensor(owners), torch.tensor(counts)),
        examples=numbers + torch.repeat_interleave(torch.tensor(before), torch.tensor(counts)),
        answers=answers.bool(),
        **_alone(made, length),
    )


def _alone(made: Sequence[_Row], length: int) -> dict[str, Tensor]:
    """`Rows.take` and `Rows.put` of rows that are padded to ``length``."""
    # Padding stays within its job: what breaks one must not reach another, not even times zero.
    examples = [
        (number, [number * length + place for place in (*range(row.shared), *range(*span))])
        for number, row in enumerate(made)
        for span in row.spans
    ]
    longest = max(len(tokens) for _, tokens in examples)
    take = torch.zeros(len(examples), longest, dtype=torch.long)
    put = torch.full((len(made), length), -1)
    for example, (number, tokens) in enumerate(examples):
        places = torch.tensor(tokens)
        take[example] = places[-1]
        take[example, : len(tokens)] = places
        where = torch.arange(len(tokens)) + example * longest
        put[number, places - number * length] = where
        put[number, len(made[number].ids) :] = where[-1]
    return {"take": take, "put": put.flatten()}


def visible(segments: Tensor) -> Tensor:
    """Which token sees which: those before it of its own example, and the prefix.

    Args:
        segments: int64 (n, T).

    Returns:
        bool (n, 1, T, T). Padding sees padding, so that no row of attention is empty.
    """
    mine, other = segments[:, :, None], segments[:, None, :]
    length = segments.shape[1]
    before = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    return (((mine == other) | ((other == PREFIX) & (mine != _PADDING))) & before)[:, None]


@dataclass
class _Row:
    ids: list[int]
    places: list[int]
    segments: list[int]
    loss: list[tuple[int, int, int, bool]]
    """place in the row, target, number of the example in the row from 0, whether of the answer"""
    shared: int
    """tokens of the common prefix"""
    spans: list[tuple[int, int]]
    """where the rest of each example begins and ends in the row"""


def _row(examples: Sequence[Example], whole: bool) -> _Row:
    shared = common(examples) if len(examples) > 1 else 0
    prefix = list(examples[0].ids[:shared])
    row = _Row(prefix, list(range(shared)), [PREFIX] * shared, [], shared, [])
    for number, example in enumerate(examples, 1):
        offset = len(row.ids) - shared
        first = 1 if whole else max(1, example.answer_start)
        row.spans.append((len(row.ids), len(row.ids) + len(example.ids) - shared))
        row.ids += example.ids[shared:]
        row.places += range(shared, len(example.ids))
        row.segments += [number] * (len(example.ids) - shared)
        for place in range(first - 1, len(example.ids) - 1):  # predicts the token behind it
            at = place if place < shared else place + offset
            answer = place + 1 >= example.answer_start
            row.loss.append((at, example.ids[place + 1], number - 1, answer))
    return row


def common(examples: Sequence[Example]) -> int:
    """Tokens that all begin with; of equal examples all but the last, so that none is empty."""
    alike = takewhile(lambda ids: len(set(ids)) == 1, zip(*(e.ids for e in examples), strict=False))
    return min(sum(1 for _ in alike), min(len(e.ids) for e in examples) - 1)
