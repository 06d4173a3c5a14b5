"""Training: a recipe, examples and an objective become an adapter."""

from lorepack.training.batches import Example
from lorepack.training.loop import check, train
from lorepack.training.recipe import Recipe
from lorepack.training.result import TrainResult

__all__ = ["Example", "Recipe", "TrainResult", "check", "train"]
