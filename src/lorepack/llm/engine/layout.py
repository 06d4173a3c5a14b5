"""One pass of the model: tokens of many rows behind each other, without padding.

Rows are in the order of their contexts (and so of their adapters), so that all that share a prefix
are one stretch of tokens. A row is either fresh, with the tokens that are its own, or goes on from
its slot with one token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from lorepack.llm.engine.attention import (
    Form,
    Stretch,
    alone,
    joined,
    over_prefix,
    over_rows,
)
from lorepack.llm.engine.states import Context, Slots

T = TypeVar("T")
_MOST = 0.9  # share of the rows going on whose lengths decide how many columns are looked at
_NARROW = 16  # fresh rows of at most this many tokens attend together


@dataclass(frozen=True, slots=True)
class Fresh:
    """Tokens behind a context that are not computed yet.

    Attributes:
        ids: the tokens, at least one.
        context: what they stand behind.
        slot: where their states stay, or -1.
        makes: a context that their states make, or None.
        wanted: how many of the last tokens' logits are wanted.
    """

    ids: Sequence[int]
    context: Context
    slot: int = -1
    makes: Context | None = None
    wanted: int = 1


@dataclass(frozen=True, slots=True)
class Going:
    """Rows that go on with one token each.

    Attributes:
        slots: ``(n,)``.
        tokens: ``(n,)`` ids.
        lengths: ``(n,)`` tokens that each has in its slot already.
        contexts: ``(n,)`` indices into the contexts given beside.
    """

    slots: np.ndarray
    tokens: np.ndarray
    lengths: np.ndarray
    contexts: np.ndarray

    @classmethod
    def none(cls) -> Going:
        """No rows."""
        nothing = np.zeros(0, np.int64)
        return cls(nothing, nothing, nothing, nothing)


@dataclass(frozen=True, slots=True)
class _Bucket:
    """Fresh rows of like length, attending to themselves."""

    take: Tensor
    """(n, T) tokens of the pass; the first one's again where a row is shorter"""
    valid: Tensor
    """(m,) places in n T that are tokens"""
    tokens: Tensor
    """(m,) which tokens of the pass they are"""
    rows: tuple[Fresh, ...]
    slots: Tensor | None
    """(n,) where the states stay; None where they do not"""
    lonely: bool
    """whether nothing stands before any of the rows"""


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows that go on, attending to their own slots."""

    take: Tensor
    """(n,) the token of each row; any token's where a slot is empty"""
    rows: Tensor | None
    """(n,) their slots; None for the first n"""
    reach: Tensor
    """(n, S) how far back a key stands; below 0 where there is none"""
    tokens: Tensor
    """(m,) tokens of the pass that this part answers"""
    found: Tensor
    """(m,) and their rows in the part"""


class Layout:
    """The tokens of a pass and how they see each other.

    Args:
        fresh: rows that begin.
        going: rows that go on.
        contexts: what ``going.contexts`` counts.
        device: where to compute.
    """

    def __init__(
        self,
        fresh: Sequence[Fresh],
        going: Going,
        contexts: Sequence[Context],
        device: torch.device,
    ) -> None:
        self.device = device
        numbers = {id(context): number for number, context in enumerate(contexts)}
        every = list(contexts)
        for row in fresh:
            if id(row.context) not in numbers:
                numbers[id(row.context)] = len(every)
                every.append(row.context)
        adapters = np.array([-1 if c.adapter is None else c.adapter for c in every], np.int64)
        bases = np.array([c.length for c in every], np.int64)
        mine = np.array([numbers[id(row.context)] for row in fresh], np.int64)
        of_row = np.concatenate([mine, going.contexts])  # (rows,)
        sizes = np.array([len(row.ids) for row in fresh], np.int64)
        lengths = np.concatenate([sizes, np.ones(len(going.slots), np.int64)])
        order = np.lexsort((of_row, adapters[of_row]))
        ends = np.cumsum(lengths[order])
        begins = np.empty_like(ends)  # (rows,) first token of each row
        begins[order] = ends - lengths[order]
        self.count, self.rows = int(ends[-1]), len(order)
        self.keeps = len(going.slots) > 0 or any(row.slot >= 0 for row in fresh)
        of_token = np.repeat(of_row[order], lengths[order])
        self._fill(fresh, going, begins, bases, of_row)
        self.groups = _runs(of_token, lambda number: every[number])
        self.adapters = _runs(adapters[of_token], lambda a: None if a < 0 else a)
        self._going(going, begins[len(fresh) :])
        self.buckets = self._bucketed(fresh, begins[: len(fresh)])
        wanted = [
            np.arange(begins[i] + len(row.ids) - row.wanted, begins[i] + len(row.ids))
            for i, row in enumerate(fresh)
            if row.wanted
        ]
        self.last = self._tensor(np.concatenate([*wanted, begins[len(fresh) :]]).astype(np.int64))

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.device)

    def _fill(
        self,
        fresh: Sequence[Fresh],
        going: Going,
        begins: np.ndarray,
        bases: np.ndarray,
        of_row: np.ndarray,
    ) -> None:
        ids, places = np.empty(self.count, np.int64), np.empty(self.count, np.int64)
        for i, row in enumerate(fresh):
            begin, size = int(begins[i]), len(row.ids)
            ids[begin : begin + size] = row.ids
            places[begin : begin + size] = np.arange(size) + bases[of_row[i]]
        behind = begins[len(fresh) :]
        ids[behind] = going.tokens
        places[behind] = bases[going.contexts] + going.lengths
        self.furthest = int(places.max())
        self.ids = self._tensor(ids)
        """(N,)"""
        self.places = self._tensor(places)
        """(N,)"""

    def _going(self, going: Going, begins: np.ndarray) -> None:
        """Rows that go on, in two parts: most by slot, where their keys and values lie, and over
        few columns; those that have grown long apart, gathered."""
        self.going = len(going.slots)
        if not self.going:
            return
        self.asking = self._tensor(begins)
        self.slots, self.columns = self._tensor(going.slots), self._tensor(going.lengths)
        used = _rounded(int(np.quantile(going.lengths, _MOST, method="higher")) + 1)
        long = going.lengths >= used
        dense = 2 * int((~long).sum()) > int(going.slots.max())
        if dense:
            top = int(going.slots.max()) + 1
            take, lengths = np.zeros(top, np.int64), np.zeros(top, np.int64)
            take[going.slots], lengths[going.slots] = begins, np.minimum(going.lengths, used - 1)
            self.most = self._part(take, lengths, None, begins[~long], going.slots[~long])
        few = long if dense else np.ones(self.going, bool)
        self.few = None
        if few.any():
            rows = going.slots[few]
            self.few = self._part(
                begins[few], going.lengths[few], rows, begins[few], np.arange(len(rows))
            )
        if not dense:
            self.most, self.few = self.few, None  # type: ignore[assignment]

    def _part(
        self,
        take: np.ndarray,
        lengths: np.ndarray,
        rows: np.ndarray | None,
        tokens: np.ndarray,
        found: np.ndarray,
    ) -> _Part:
        columns = np.arange(int(lengths.max()) + 1)
        return _Part(
            self._tensor(take),
            None if rows is None else self._tensor(rows),
            self._tensor(lengths[:, None] - columns),
            self._tensor(tokens),
            self._tensor(found),
        )

    def _bucketed(self, fresh: Sequence[Fresh], begins: np.ndarray) -> list[_Bucket]:
        found: dict[tuple[int, bool, bool], list[int]] = {}
        for i, row in enumerate(fresh):
            width = max(_NARROW, 1 << (len(row.ids) - 1).bit_length())
            found.setdefault((width, row.slot >= 0, row.context.length == 0), []).append(i)
        buckets = []
        for (_, stays, lonely), members in found.items():
            sizes = np.array([len(fresh[i].ids) for i in members])
            inside = np.arange(sizes.max())[None] < sizes[:, None]  # (n, T)
            take = begins[members][:, None] + np.where(inside, np.arange(sizes.max()), 0)
            buckets.append(
                _Bucket(
                    self._tensor(take),
                    self._tensor(np.flatnonzero(inside)),
                    self._tensor(take[inside]),
                    tuple(fresh[i] for i in members),
                    self._tensor(np.array([fresh[i].slot for i in members])) if stays else None,
                    lonely,
                )
            )
        return buckets


def _rounded(size: int) -> int:
    """Up to whole eights: products of such sizes are quicker."""
    return -(-size // 8) * 8


def _runs(values: np.ndarray, name: Callable[[int], T]) -> list[tuple[T, int, int]]:
    """Stretches of equal values: what ``name`` makes of the value, first and one past last."""
    cuts = np.flatnonzero(np.diff(values)) + 1
    edges = [0, *cuts.tolist(), len(values)]
    return [(name(int(values[a])), a, b) for a, b in pairwise(edges)]


class Cascade:
    """The attention of one pass, called layer by layer in order.

    Args:
        layout: the tokens.
        slots: where rows keep their states; None where no row does.
    """

    def __init__(self, layout: Layout, slots: Slots | None) -> None:
        self.layout = layout
        self.slots = slots
        self.layers = 0

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, form: Form) -> Tensor:
        """Attend and keep.

        Args:
            query: ``(N, H, D)``.
            key: ``(N, G, D)``.
            value: ``(N, G, D)``.
            form: how to score.

        Returns:
            ``(N, H, D)``.
        """
        layer, self.layers = self.layers, self.layers + 1
        if form.window is not None and form.window > self.layout.furthest:
            form = replace(form, window=None)  # nobody looks back that far
        own = Stretch.empty(query)
        apart = [
            (bucket, found)
            for bucket in self.layout.buckets
            if (found := self._fresh(bucket, query, key, value, form, own, layer)) is not None
        ]
        if self.layout.going:
            self._go_on(query, key, value, form, own, layer)
        shared = Stretch.empty(query)
        for context, first, last in self.layout.groups:
            if context.length:
                over_prefix(
                    query[first:last],
                    context.keys[layer],
                    context.values[layer],
                    self.layout.places[first:last],
                    form,
                    shared,
                    first,
                )
        out = joined(own, shared).to(query.dtype)
        for bucket, found in apart:
            out[bucket.tokens] = found
        return out

    def _fresh(
        self,
        bucket: _Bucket,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        form: Form,
        own: Stretch,
        layer: int,
    ) -> Tensor | None:
        """Fresh rows among themselves: into ``own``; or, for lonely ones, the attention itself."""
        keys, values = key[bucket.take].transpose(1, 2), value[bucket.take].transpose(1, 2)
        length = bucket.take.shape[1]
        if bucket.slots is not None:
            assert self.slots is not None
            for kept, new in zip(self.slots.layer(layer, key, value), (keys, values), strict=True):
                kept[:, :, :length].index_copy_(0, bucket.slots, new)
        for i, row in enumerate(bucket.rows):
            if row.makes is not None:
                size = len(row.ids)
                row.makes.append(row.context, keys[i, :, :size], values[i, :, :size])
        asked = query[bucket.take]
        if bucket.lonely and form.window is None and form.softcap is None:
            return alone(asked, keys, values, form)[bucket.valid]
        steps = torch.arange(length, device=query.device)
        back = steps[:, None] - steps  # (T, T)
        found = over_rows(asked, keys, values, _hidden(back, form)[None], form)
        own.put(
            bucket.tokens,
            Stretch(found.out[bucket.valid], found.top[bucket.valid], found.mass[bucket.valid]),
        )
        return None

    def _go_on(
        self, query: Tensor, key: Tensor, value: Tensor, form: Form, own: Stretch, layer: int
    ) -> None:
        layout = self.layout
        assert self.slots is not None
        keys, values = self.slots.layer(layer, key, value)
        keys[layout.slots, :, layout.columns] = key[layout.asking]
        values[layout.slots, :, layout.columns] = value[layout.asking]
        for part in (layout.most, layout.few):
            if part is None:
                continue
            top, used = part.reach.shape
            rows = slice(top) if part.rows is None else part.rows
            found = over_rows(
                query[part.take][:, None],
                keys[rows, :, :used],
                values[rows, :, :used],
                _hidden(part.reach, form)[:, None],
                form,
            )
            at = part.found
            own.put(part.tokens, Stretch(found.out[at], found.top[at], found.mass[at]))


def _hidden(back: Tensor, form: Form) -> Tensor:
    """Which keys are not seen, by how far back they stand."""
    hidden = back < 0
    return hidden if form.window is None else hidden | (back >= form.window)
