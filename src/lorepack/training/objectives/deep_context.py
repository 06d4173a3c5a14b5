"""Deep-context distillation: answer without the passage as the base answers with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lorepack.training.batches import Example
from lorepack.training.objectives.divergence import divergence, log_probabilities
from lorepack.training.objectives.objective import Objective, Reading, Taught, Tokens, Values
from lorepack.training.outputs import Outputs, wide


def in_context(example: Example) -> Reading:
    """The teacher's sequence, whose last tokens are those of the answer."""
    counted = len(example.ids) - max(1, example.answer_start)
    return example.teacher_ids, len(example.teacher_ids) - counted


@dataclass(frozen=True)
class DeepContext(Objective):
    """λ_k · KL(teacher ‖ student) + λ_h · distance of the hidden states, on the answer.

    The teacher is the base with the passage in its context and the adapter off. With z the
    logits, τ the temperature, h^l the hidden states of layer l (0 the embeddings), P the places
    that predict the answer's tokens:

        λ_k mean_P KL(softmax(z_T/τ) ‖ softmax(z_S/τ))
        + λ_h mean_l ( mean_P |h^l_S - h^l_T| / mean_P |h^l_T| )

    for each example, of several the mean as for any loss: over their tokens, or over examples.
    Caccia et al. 2025 (deep context distillation), the loss of their paper and code; their code
    takes the answer's own places, one further on, so that its first token is never taught.
    """

    temperature: float = 1.0
    """τ"""
    kl_weight: float = 1.0
    """λ_k"""
    hidden_weight: float = 1.0
    """λ_h"""

    @property
    def hidden(self) -> bool:
        """Where they weigh anything."""
        return self.hidden_weight > 0

    @property
    def in_context(self) -> bool:
        """The teacher reads the passage."""
        return True

    def reading(self, example: Example) -> Reading:
        """The passage, the question, the answer."""
        return in_context(example)

    def taught(self, base: Outputs) -> Taught:
        """log p (P, V) where it weighs anything, then the hidden states (P, D) of each layer."""
        parts = list(base.hidden) if self.hidden else []
        if self.kl_weight:
            parts.insert(0, log_probabilities(base.logits, self.temperature))
        return tuple(parts)

    def numbers(self, vocabulary: int, width: int, layers: int) -> int:
        """The vocabulary and all layers."""
        return bool(self.kl_weight) * vocabulary + self.hidden * (layers + 1) * width

    def __call__(self, student: Outputs, tokens: Tokens, taught: Taught) -> Values:
        """The two parts a token, weighted."""
        values = torch.zeros(len(tokens.targets), device=student.logits.device)
        if self.kl_weight:
            log_q = log_probabilities(student.logits, self.temperature)
            values = self.kl_weight * divergence(taught[0], log_q)
        if self.hidden:
            states = taught[1:] if self.kl_weight else taught
            far = self._distance(student.hidden, states, tokens)
            values = values + self.hidden_weight * far
        return Values(values)

    def _distance(
        self, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], tokens: Tokens
    ) -> Tensor:
        """(P,); its mean over an example's tokens is the mean over layers of relative distances."""
        parts = []
        for mine, theirs in zip(student, teacher, strict=True):
            far = (wide(mine) - wide(theirs)).abs().mean(-1)  # (P,)
            parts.append(far / tokens.by_example(wide(theirs).abs().mean(-1)))
        return torch.stack(parts).mean(0)
