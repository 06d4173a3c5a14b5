"""Training: a recipe, examples and an objective become an adapter."""

from lorepack.training.batches import Example
from lorepack.training.live import Standing
from lorepack.training.loop import Order, check, check_order, train, train_many
from lorepack.training.recipe import Recipe
from lorepack.training.result import TrainResult

__all__ = [
    "Example",
    "Order",
    "Recipe",
    "Standing",
    "TrainResult",
    "check",
    "check_order",
    "train",
    "train_many",
]
