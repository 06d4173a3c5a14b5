"""MemFT: the loss goes to the tokens that greedy decoding would not yet repeat."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from lorepack.training.objectives.next_token import surprise
from lorepack.training.objectives.objective import Objective, Taught, Tokens, Values
from lorepack.training.outputs import Outputs


@dataclass(frozen=True)
class MemFT(Objective):
    """Answer tokens weigh by how far they are from being remembered; Σ w ℓ / Σ w.

    With ℓ = -log p of a token and θ the threshold: w = 1 where p < θ, else 0; or, with a slope
    k, w = σ(k (ℓ + log θ)). Weights carry no gradient. Xu et al. 2026 (arXiv 2605.30260), MemFT:
    p > 0.5 suffices for greedy recall. Where no token is below the threshold the loss is 0, as
    in the variant of their code that adds no gradient then. Their window behind the first wrong
    token depends on what stood at the same place of earlier batches, and is left out.
    """

    threshold: float = 0.5
    """θ, a probability"""
    slope: float | None = None
    """k, a nat; None for the sharp form"""

    @property
    def weighted(self) -> bool:
        """By probability."""
        return True

    def __call__(self, student: Outputs, tokens: Tokens, taught: Taught) -> Values:
        """Nats a token, and the weights."""
        values = surprise(student.logits, tokens.targets)
        beyond = values.detach() + math.log(self.threshold)
        if self.slope is None:
            return Values(values, (beyond > 0).to(values.dtype))
        return Values(values, torch.sigmoid(self.slope * beyond))
