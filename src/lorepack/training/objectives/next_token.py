"""Cross entropy of the next token, on the answer or on all."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lorepack.training.cross_entropy import cross_entropy
from lorepack.training.objectives.objective import Objective, Taught, Tokens, Values
from lorepack.training.outputs import Outputs, wide


@dataclass(frozen=True)
class NextToken(Objective):
    """-log p(x_t | x_<t) for every t that counts.

    Radford et al. 2018, eq. 1; on the answer alone, the supervised fine-tuning of Ouyang et al.
    2022, section 3.5.
    """

    everywhere: bool
    """whether the question counts too, not the answer alone"""

    @property
    def whole(self) -> bool:
        """As asked for."""
        return self.everywhere

    def __call__(self, student: Outputs, tokens: Tokens, taught: Taught) -> Values:
        """Nats a token."""
        return Values(surprise(student.logits, tokens.targets))


def surprise(logits: Tensor, targets: Tensor) -> Tensor:
    """-log p of targets int64 (P,) under logits (P, V); (P,), nats."""
    return cross_entropy(wide(logits), targets)
