"""Attention example by example in rows that examples share, the common prefix once a row.

A row of many short examples hides most of its scores from its tokens. Here what is left of each
example looks at the prefix and at itself, and the prefix at itself, once a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lorepack.training.lean.attention import Attention
from lorepack.training.rows import PREFIX, Rows

WORTH = 0.6
"""share of a whole row's scores below which picking the examples out of it pays"""
_Turn = tuple[Tensor, Tensor]
"""cos and sin, (n, T, 1, D)"""


@dataclass(frozen=True)
class Picked:
    """Where E examples of at most L tokens stand in n rows that begin with the same P tokens."""

    prefix: int
    """P"""
    take: Tensor
    """int64 (E, L), tokens of each example among the (n T)"""
    back: Tensor
    """int64 (n T,), where each token stands among the (n P) of prefixes and (E (L - P)) others"""
    turns: tuple[_Turn, _Turn]
    """of the prefixes, (n, P, 1, D), and of the examples, (E, L, 1, D)"""
    hidden: Tensor
    """(L, L), 0 or -inf: no token looks at a later one"""

    def attended(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query (n, T, H, D), key and value (n, T, G, D) -> (n T, H D)."""
        first = self.prefix
        begun, (cos, sin) = self.turns
        alone = [_taken(query, self.take[:, first:]), *(_taken(x, self.take) for x in (key, value))]
        hidden = self.hidden[first:].expand(len(self.take), -1, -1)
        turns = (cos[:, first:], sin[:, first:]), (cos, sin)
        found: Tensor = Attention.apply(*alone, turns, hidden, scale)  # (E (L - P), H D)
        if first:
            heads = [x[:, :first] for x in (query, key, value)]
            hidden = self.hidden[:first, :first].expand(len(query), -1, -1)
            of_prefix = Attention.apply(*heads, (begun, begun), hidden, scale)
            found = torch.cat([of_prefix, found])
        return found.index_select(0, self.back)


def picked(rows: Rows, turn: _Turn) -> Picked | None:
    """How to pick the examples out of rows; None where whole rows are quicker.

    Args:
        rows: of a pass.
        turn: cos and sin of their places, (n, T, 1, D).
    """
    count, length = rows.input_ids.shape
    examples, most = rows.take.shape
    first = int((rows.segments == PREFIX).sum(1).min())  # P
    scores = count * first**2 + examples * (most - first) * most
    if scores > WORTH * count * length**2:
        return None
    of_example, place = rows.put // most, rows.put % most
    of_row = torch.arange(count).repeat_interleave(length)
    back = torch.where(
        place < first,
        of_row * first + place,
        count * first + of_example * (most - first) + place - first,
    )
    begun, alone = (tuple(x[:, :first] for x in turn), tuple(_taken(x, rows.take) for x in turn))
    hidden = torch.full((most, most), -torch.inf).triu(1)
    return Picked(first, rows.take, back, (begun, alone), hidden)  # type: ignore[arg-type]


def _taken(x: Tensor, take: Tensor) -> Tensor:
    """x (n, T, …) at tokens ``take`` (E, L) -> (E, L, …)."""
    return x.flatten(0, 1).index_select(0, take.flatten()).view(*take.shape, *x.shape[2:])
