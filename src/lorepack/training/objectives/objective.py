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
    examples: Tensor
    """int64 (P,), the example that each belongs to"""
    samples: tuple[bool, ...]
    """of each mean, whether it is over examples of each one's mean, not over all tokens"""

    def sums(self, values: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What the means are made of.

        Args:
            values: (P,).
            weights: (P,); None for all one.

        Returns:
            For each mean Σ weight · value and Σ weight, both (means,). Where it is over examples,
            their own means are summed, and each example counts 1.
        """
        zeros = torch.zeros(len(self.samples), dtype=values.dtype, device=values.device)
        shares = torch.ones_like(values) if weights is None else weights
        by_token = self._added(zeros, values * shares), self._added(zeros, shares)
        if not any(self.samples):
            return by_token
        each = zeros.new_zeros(int(self.examples.max()) + 1)  # (E,)
        own = each.index_add(0, self.examples, shares)
        fair = shares / torch.where(own > 0, own, 1)[self.examples]
        owners = torch.zeros_like(each, dtype=torch.long).index_copy(0, self.examples, self.terms)
        counts = zeros.index_add(0, owners, each.index_fill(0, self.examples, 1))
        samples = torch.tensor(self.samples, device=values.device)
        return (
            torch.where(samples, self._added(zeros, values * fair), by_token[0]),
            torch.where(samples, counts, by_token[1]),
        )

    def by_example(self, values: Tensor) -> Tensor:
        """Values (P,), each replaced by the mean over its example's tokens."""
        zeros = values.new_zeros(int(self.examples.max()) + 1)  # (E,)
        sizes = torch.bincount(self.examples, minlength=len(zeros)).clamp(min=1)
        return (zeros.index_add(0, self.examples, values) / sizes)[self.examples]

    def _added(self, zeros: Tensor, values: Tensor) -> Tensor:
        return zeros.index_add(0, self.terms, values)


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
    def weighted(self) -> bool:
        """Whether the weights of tokens depend on what the student says of them."""
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
