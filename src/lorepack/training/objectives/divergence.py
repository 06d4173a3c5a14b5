"""Kullback-Leibler divergence from the base to the adapted model: a dial for forgetting."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from lorepack.training.batches import Example
from lorepack.training.objectives.objective import Objective, Reading, Taught, Tokens, Values
from lorepack.training.outputs import Outputs, wide


@dataclass(frozen=True)
class BaseKL(Objective):
    """KL(base ‖ adapted) at every token of an example: Σ_v p(v) log(p(v) / q(v)).

    p is the base's prediction from the same tokens, q that with the adapter on. Learning without
    Forgetting (Li and Hoiem 2016, eq. 2) at temperature 1, as a divergence rather than a cross
    entropy: the gradient is the same, and 0 means that nothing changed.
    """

    @property
    def whole(self) -> bool:
        """All tokens count."""
        return True

    def reading(self, example: Example) -> Reading:
        """The example itself."""
        return example.ids, 1

    def taught(self, base: Outputs) -> Taught:
        """log p (P, V)."""
        return (log_probabilities(base.logits),)

    def numbers(self, vocabulary: int, width: int, layers: int) -> int:
        """One a token of the vocabulary."""
        return vocabulary

    def __call__(self, student: Outputs, tokens: Tokens, taught: Taught) -> Values:
        """Nats a token."""
        return Values(divergence(taught[0], log_probabilities(student.logits)))


def log_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """log softmax(logits / temperature), (P, V), in at least fp32."""
    return (wide(logits) / temperature).log_softmax(-1)


def divergence(base: Tensor, adapted: Tensor) -> Tensor:
    """KL(base ‖ adapted) of log-probabilities (P, V), summed over the vocabulary; (P,), nats."""
    return F.kl_div(adapted, base, reduction="none", log_target=True).sum(-1)
