"""Distillation from the teacher's likeliest tokens alone: little to keep, little to compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lorepack.training.batches import Example
from lorepack.training.objectives.deep_context import in_context
from lorepack.training.objectives.divergence import divergence, log_probabilities
from lorepack.training.objectives.objective import Objective, Reading, Taught, Tokens, Values
from lorepack.training.outputs import Outputs


@dataclass(frozen=True)
class TopK(Objective):
    """The teacher's k likeliest next tokens K, on the answer; the teacher as in `DeepContext`.

    With the rest ``ignored``: -Σ_{v∈K} p(v) log q(v), neither side made to sum to one (Eyuboglu
    et al. 2025, Cartridges, self-study, k = 20). It is least where q spreads over K as p does
    and leaves nothing outside. With a ``bucket`` for the rest: KL(p ‖ q) over K and one event
    more, "any other token", which is least at 0 where q gives K and the rest what p gives them.
    """

    k: int = 20
    temperature: float = 1.0
    rest: Literal["ignored", "bucket"] = "ignored"

    @property
    def in_context(self) -> bool:
        """The teacher reads the passage."""
        return True

    def reading(self, example: Example) -> Reading:
        """The passage, the question, the answer."""
        return in_context(example)

    def taught(self, base: Outputs) -> Taught:
        """log p (P, k), and of which tokens (P, k); log p of the rest (P, 1) for a bucket."""
        log_p = log_probabilities(base.logits, self.temperature)
        best, ids = log_p.topk(min(self.k, log_p.shape[-1]), -1)
        return (best, ids) if self.rest == "ignored" else (best, ids, _others(log_p, ids))

    def numbers(self, vocabulary: int, width: int, layers: int) -> int:
        """Two a kept token; ids are twice as wide."""
        return 3 * min(self.k, vocabulary) + 1

    def __call__(self, student: Outputs, tokens: Tokens, taught: Taught) -> Values:
        """Nats a token."""
        log_q = log_probabilities(student.logits, self.temperature)
        best, ids = taught[:2]
        chosen = log_q.gather(-1, ids)  # (P, k)
        if self.rest == "ignored":
            return Values(-(best.exp() * chosen).sum(-1))
        mine = torch.cat([chosen, _others(log_q, ids)], -1)
        return Values(divergence(torch.cat([best, taught[2]], -1), mine))


def _others(log_p: Tensor, ids: Tensor) -> Tensor:
    """log of what is left (P, 1) beside ids (P, k), without the loss of 1 - Σ near 0."""
    if ids.shape[-1] == log_p.shape[-1]:  # nothing is left, on either side: log of the least
        return torch.full_like(log_p[:, :1], torch.finfo(log_p.dtype).min)
    return log_p.scatter(-1, ids, -torch.inf).logsumexp(-1, keepdim=True)
