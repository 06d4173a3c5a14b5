"""What jobs minimise: one objective a file, and the registry of those that recipes name."""

from lorepack.training.objectives.objective import Objective, Reading, Taught, Tokens, Values
from lorepack.training.objectives.registry import OBJECTIVES, Term, replay_terms, trained_term

__all__ = [
    "OBJECTIVES",
    "Objective",
    "Reading",
    "Taught",
    "Term",
    "Tokens",
    "Values",
    "replay_terms",
    "trained_term",
]
