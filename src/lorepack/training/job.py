"""One training job: what is trained on what, by which recipe; every step a function of its number.

A job knows nothing of the stack it is trained in, so that many can share one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import nn

from lorepack import files
from lorepack.lora import AdapterSpec
from lorepack.training.batches import Fitted, epoch_order
from lorepack.training.recipe import Recipe
from lorepack.training.schedule import lr_at


class Base(Protocol):
    """What training needs of a language model."""

    @property
    def model(self) -> nn.Module: ...
    @property
    def tokenizer(self) -> Any: ...
    @property
    def device(self) -> Any: ...
    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...


@dataclass(frozen=True)
class Job:
    """One adapter to train."""

    recipe: Recipe
    spec: AdapterSpec
    data: Fitted
    seed: int
    provenance: Mapping[str, Any]
    """kept in the adapter's lorepack.json"""

    @property
    def steps_an_epoch(self) -> int:
        """Batches that one pass over the examples takes; the last may be smaller."""
        return math.ceil(len(self.data.examples) / self.recipe.batch_size)

    @property
    def total_steps(self) -> int:
        """Steps of all epochs; the schedule ends there."""
        return self.steps_an_epoch * self.epochs

    @property
    def epochs(self) -> int:
        """The recipe's epochs, or as many as its fewest steps take with this little data."""
        return max(self.recipe.epochs, math.ceil(self.recipe.min_steps / self.steps_an_epoch))

    def epoch_of(self, step: int) -> int:
        """The epoch that a step (from 0) belongs to, counted from 1."""
        return step // self.steps_an_epoch + 1

    def order_of(self, epoch: int) -> tuple[int, ...]:
        """The order of the examples in one epoch, counted from 1."""
        return epoch_order(len(self.data.examples), self.seed, epoch - 1)

    def lr_at(self, step: int) -> float:
        """The learning rate of one step, from 0."""
        return lr_at(
            step,
            total=self.total_steps,
            peak=self.recipe.lr,
            warmup=self.recipe.warmup_steps,
            kind=self.recipe.schedule,
        )

    def inputs(self, fingerprint: str) -> str:
        """The hash of all that decides the job's result."""
        digest = hashlib.sha256()
        for example in self.data.examples:
            row = [example.fact_id, example.answer_start, *example.ids]
            digest.update(json.dumps(row).encode())
        return files.hash_of(
            {
                "base": fingerprint,
                "examples": digest.hexdigest(),
                "provenance": dict(self.provenance),
                "recipe": self.recipe.model_dump(mode="json"),
                "seed": self.seed,
                "targets": list(self.spec.targets),
            }
        )
