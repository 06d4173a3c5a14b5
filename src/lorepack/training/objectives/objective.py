"""What an objective is: values a token, whose mean a job minimises."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lorepack.training.batches import Example
from lorepack.training.outputs import Outputs

Reading = tuple[tuple[int, ...], int]
"""what the base reads for its targets: token ids, and the index of the first that counts"""
Taught = tuple[Tensor, ...]
"""what an objective keeps of the base's outputs, each (P, …), one entry a token of the loss"""


@dataclass(frozen=True, eq=False)
class Values:
    """Losses of P tokens; a mean is Σ weight · value / Σ weight."""

    values: Tensor
    """(P,), nats"""
    weights: Tensor | None = None
    """(P,), without gradient; None for all one"""


@dataclass(frozen=True, eq=False)
class Tokens:
    """The P tokens that an objective is asked about, of as many jobs as minimise it."""

    targets: Tensor
    """int64 (P,)"""
    terms: Tensor
    """int64 (P,), the mean that each belongs to"""
    count: int
    """means in all; not each of them has tokens here"""

    def means(self, values: Tensor, weights: Tensor | None = None) -> Tensor:
        """The mean (count,) of values (P,) over the tokens of each; 0 for one without weight."""
        zeros = torch.zeros(self.count, dtype=values.dtype, device=values.device)
        if weights is None:
            sizes = torch.bincount(self.terms, minlength=self.count)
            return zeros.index_add(0, self.terms, values) / sizes.clamp(min=1)
        sums = zeros.index_add(0, self.terms, values * weights)
        totals = zeros.index_add(0, self.terms, weights)
        return sums / torch.where(totals > 0, totals, 1)


@dataclass(frozen=True)
class Objective:
    """Losses a token, from the student's outputs and, where it needs them, the base's.

    Objectives of equal settings are equal, so that one call serves all jobs that share one.
    """

    @property
    def whole(self) -> bool:
        """Whether the question counts too, not the answer alone."""
        return False

    @property
    def hidden(self) -> bool:
        """Whether the hidden states of all layers are needed."""
        return False

    @property
    def in_context(self) -> bool:
        """Whether every example needs `Example.teacher_ids`."""
        return False

    def reading(self, example: Example) -> Reading | None:
        """What the base reads, adapter off, for the targets of an example; None for nothing."""
        return None

    def taught(self, base: Outputs) -> Taught:
        """What is kept of the base's outputs at the P tokens."""
        return ()

    def numbers(self, vocabulary: int, width: int, layers: int) -> int:
        """Numbers a token that `taught` keeps, for the bound on what is held."""
        return 0

    def __call__(self, student: Outputs, tokens: Tokens, taught: Taught) -> Values:
        """The losses of the tokens.

        Args:
            student: outputs with the adapters on, which gradients flow through.
            tokens: P of them.
            taught: of the same tokens; see `taught`.
        """
        raise NotImplementedError
