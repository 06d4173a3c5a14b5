"""Keys and values: of shared prefixes, whole; of rows, in slots that are written in place."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor


@dataclass(eq=False, slots=True)
class Context:
    """The states of a shared prefix under one adapter.

    Attributes:
        length: P, its tokens; 0 for nothing shared.
        adapter: of the rows behind it; None for the base.
        keys: of each layer ``(G, P, D)``.
        values: likewise.
    """

    length: int
    adapter: int | None
    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)

    def append(self, parent: Context, keys: Tensor, values: Tensor) -> None:
        """The next layer: the parent's states and those of ``(G, T, D)`` new tokens."""
        layer = len(self.keys)
        if parent.length:
            keys = torch.cat([parent.keys[layer], keys], dim=1)
            values = torch.cat([parent.values[layer], values], dim=1)
        self.keys.append(keys.contiguous())
        self.values.append(values.contiguous())


class Slots:
    """Each row's own keys and values: of every layer ``(capacity, G, columns, D)``.

    Args:
        columns: most tokens of a row behind its prefix.
        room: slots to allocate at once.
        most: slots that there may ever be.
    """

    def __init__(self, columns: int, room: int, most: int) -> None:
        self.columns = columns
        self.capacity = min(room, most)
        self.most = most
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def layer(self, number: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The buffers of a layer; made like ``keys`` and ``values (N, G, D)`` the first time."""
        if number == len(self.keys):
            for kept, like in ((self.keys, keys), (self.values, values)):
                shape = self.capacity, like.shape[1], self.columns, like.shape[2]
                kept.append(like.new_zeros(shape))  # NaN in a slot nobody holds would spread
        return self.keys[number], self.values[number]

    def grow(self) -> bool:
        """Half as many slots more; False where there may be no more."""
        capacity = min(self.most, self.capacity + max(1, self.capacity // 2))
        if capacity == self.capacity:
            return False
        for kept in (self.keys, self.values):
            for number, old in enumerate(kept):
                new = old.new_zeros(capacity, *old.shape[1:])
                new[: self.capacity] = old
                kept[number] = new
        self.capacity = capacity
        return True

    def copy(self, targets: np.ndarray, sources: np.ndarray, used: int) -> None:
        """Rows that split or move: slots ``targets`` get the first ``used`` columns of
        ``sources``."""
        if not len(targets):
            return
        device = self.keys[0].device
        to, from_ = (torch.as_tensor(x, device=device) for x in (targets, sources))
        for kept in (self.keys, self.values):
            for layer in kept:
                layer[to, :, :used] = layer[from_, :, :used]
