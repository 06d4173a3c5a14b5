"""The objectives that a recipe can name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lorepack.training.objectives.deep_context import DeepContext
from lorepack.training.objectives.divergence import BaseKL
from lorepack.training.objectives.memft import MemFT
from lorepack.training.objectives.next_token import NextToken
from lorepack.training.objectives.objective import Objective
from lorepack.training.objectives.top_k import TopK
from lorepack.training.recipe import Recipe

OBJECTIVES: dict[str, Callable[[Recipe], Objective]] = {
    "answer": lambda recipe: NextToken(False),
    "full": lambda recipe: NextToken(True),
    "memft": lambda recipe: MemFT(recipe.memft_threshold),
    "memft-sigmoid": lambda recipe: MemFT(recipe.memft_threshold, recipe.memft_slope),
    "distill": lambda recipe: DeepContext(
        recipe.distill_temperature, recipe.distill_kl_weight, recipe.distill_hidden_weight
    ),
    "distill-topk": lambda recipe: TopK(
        recipe.distill_top_k, recipe.distill_temperature, recipe.distill_rest
    ),
}
"""`Recipe.loss` -> how it is made"""


@dataclass(frozen=True)
class Term:
    """One mean in a job's loss."""

    name: str
    """its name in train.jsonl"""
    objective: Objective
    weight: float = 1.0
    by_sample: bool = False
    """whether it is over examples of each one's mean, not over all tokens"""


def trained_term(recipe: Recipe) -> Term:
    """What is minimised over the examples of a job."""
    return Term("loss", OBJECTIVES[recipe.loss](recipe), by_sample=recipe.loss_average == "sample")


def replay_terms(recipe: Recipe) -> tuple[Term, ...]:
    """What is minimised over the examples that a job replays; none where it replays none."""
    if not recipe.replay_ratio:
        return ()
    kinds = {"answer": NextToken(False), "full": NextToken(True), "kl": BaseKL()}
    name = "kl" if recipe.replay_loss == "kl" else "replay_loss"
    terms = (Term(name, kinds[recipe.replay_loss], recipe.replay_weight),)
    return (*terms, Term("kl", BaseKL(), recipe.kl_weight)) if recipe.kl_weight else terms
