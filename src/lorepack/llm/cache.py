"""Keys and values of many rows in buffers that are written in place.

A step of decoding appends one column, splits rows whose continuations differ and drops rows that
are done. Transformers' growing cache copies everything for each of these; here a column is
written where it belongs and only rows that move are copied.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer, DynamicSlidingWindowLayer

_PLAIN = (DynamicLayer, DynamicSlidingWindowLayer)


def is_plain(config: Any) -> bool:
    """Whether every layer keeps one key and one value a token, so that rows may be padded, split
    and given a prefix. Sliding windows count as plain: their masks do the sliding. States of
    recurrent or convolutional layers, chunked attention and caches shared by layers do not.
    """
    inner = config.get_text_config(decoder=True)
    if getattr(inner, "attention_chunk_size", None) or getattr(inner, "num_kv_shared_layers", 0):
        return False
    return all(type(layer) in _PLAIN for layer in DynamicCache(config=inner).layers)


def layer_count(config: Any) -> int:
    """How many layers of a model keep keys and values."""
    return len(DynamicCache(config=config.get_text_config(decoder=True)).layers)


class RowLayer(DynamicLayer):
    """Keys and values of one layer: ``(capacity, H, columns, D)``, of which a corner is in use.

    Args:
        columns: most tokens that a row will hold.
        room: rows to allocate at once; more are added when they come.
    """

    keys: Any  # Tensor (capacity, H, columns, D) once it has room
    values: Any

    def __init__(self, columns: int, room: int = 1) -> None:
        super().__init__()
        self.columns = columns
        self.room = room
        self.rows = 0
        self.used = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append ``(rows, H, T, D)`` states; give all states so far, as views."""
        start, end = self.used, self.used + key_states.shape[-2]
        self.reserve(key_states.shape[0], key_states, value_states)
        self.rows = key_states.shape[0]
        self.keys[: self.rows, :, start:end] = key_states
        self.values[: self.rows, :, start:end] = value_states
        self.used = end
        return self.keys[: self.rows, :, :end], self.values[: self.rows, :, :end]

    def reserve(self, rows: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Room for ``rows`` rows of states shaped and typed like these."""
        old_keys, old_values = self.keys, self.values
        if old_keys is not None and old_keys.shape[0] >= rows:
            return
        self.is_initialized = True
        self.dtype, self.device = keys.dtype, keys.device
        capacity = max(rows, self.room if old_keys is None else 3 * old_keys.shape[0] // 2)
        self.keys = keys.new_empty(capacity, keys.shape[1], self.columns, keys.shape[3])
        self.values = values.new_empty(capacity, values.shape[1], self.columns, values.shape[3])
        if old_keys is not None:
            self.keys[: self.rows, :, : self.used] = old_keys[: self.rows, :, : self.used]
            self.values[: self.rows, :, : self.used] = old_values[: self.rows, :, : self.used]

    def move(self, rows: int, targets: torch.Tensor, sources: torch.Tensor) -> None:
        """Keep ``rows`` rows, after copying rows ``sources`` over rows ``targets``."""
        self.reserve(rows, self.keys, self.values)
        if len(targets):  # whole rows: one block of memory each, unlike their used parts
            self.keys.index_copy_(0, targets, self.keys.index_select(0, sources))
            self.values.index_copy_(0, targets, self.values.index_select(0, sources))
        self.rows = rows

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self.used


class RowCache(Cache):
    """A cache whose rows can begin with a shared prefix, split, and leave.

    Args:
        layers: how many layers keep states.
        columns: most tokens that a row will hold.
        room: rows to allocate at once.
    """

    layers: list[RowLayer]  # type: ignore[assignment]

    def __init__(self, layers: int, columns: int, room: int = 1) -> None:
        super().__init__(layers=[RowLayer(columns, room) for _ in range(layers)])

    def begin(self, prefix: RowCache, shifts: np.ndarray) -> None:
        """Fill the first columns of every row from one shared prefix.

        Rows are aligned on the right. A row that is ``d`` tokens shorter than the longest gets the
        prefix without its last ``d`` tokens, ``d`` columns later: the padding stays in front of
        the text, where windows and positions expect it, and the next forward repeats those ``d``.

        Args:
            prefix: a cache of one row and P columns.
            shifts: ``(n,)`` d of each row.
        """
        count = len(shifts)
        borders = [0, *(np.flatnonzero(np.diff(shifts)) + 1).tolist(), count]
        for own, given in zip(self.layers, prefix.layers, strict=True):
            length = given.used
            own.reserve(count, given.keys, given.values)
            for first, last in pairwise(borders):  # neighbours of equal length
                shift = min(int(shifts[first]), length)
                for mine, theirs in ((own.keys, given.keys), (own.values, given.values)):
                    mine[first:last, :, :shift] = 0  # masked, but NaN there would spread
                    mine[first:last, :, shift:length] = theirs[:1, :, : length - shift]
            own.rows, own.used = count, length

    def arrange(self, parents: np.ndarray) -> np.ndarray:
        """Make the rows of the next step from those of the last.

        Args:
            parents: ``(k,)`` the old row that each new row goes on from; rows without a child
                leave.

        Returns:
            ``(k,)`` which new row sits in each place: a first child stays where its parent was.
        """
        order = arrangement(parents)
        moved = np.flatnonzero(parents[order] != np.arange(len(parents)))
        for layer in self.layers:
            device = layer.keys.device
            targets = torch.as_tensor(moved, device=device)
            sources = torch.as_tensor(parents[order][moved], device=device)
            layer.move(len(parents), targets, sources)
        return order


def arrangement(parents: np.ndarray) -> np.ndarray:
    """An order of rows in which no row that is copied from is copied over.

    Args:
        parents: ``(k,)`` old places.

    Returns:
        ``(k,)`` permutation: place s gets row ``order[s]``. The first child of an old place below
        k keeps it; the others fill the places left, none of which has a child.
    """
    count = len(parents)
    places, first = np.unique(parents, return_index=True)
    stays = places < count
    order = np.full(count, -1, np.int64)
    order[places[stays]] = first[stays]
    rest = np.setdiff1d(np.arange(count), first[stays], assume_unique=True)
    order[order < 0] = rest
    return order
