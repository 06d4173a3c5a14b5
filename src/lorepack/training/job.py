"""One training job: what is trained on what, by which recipe; every step a function of its number.

A job knows nothing of the stack it is trained in, so that many can share one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from torch import nn

from lorepack import files
from lorepack.lora import AdapterSpec
from lorepack.training import stops
from lorepack.training.batches import NOTHING, Example, Fitted, epoch_order
from lorepack.training.objectives import trained_term
from lorepack.training.recipe import Recipe
from lorepack.training.replay import draw, drawn_before
from lorepack.training.schedule import lr_at
from lorepack.training.snapshots import kept_epochs


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
    replay: Fitted = NOTHING
    """what may be replayed"""
    guard: Fitted = NOTHING
    """neutral text that harm is measured on"""
    most_snapshots: int = 0
    """adapters after epochs that are kept beside the result"""

    @cached_property
    def snapshots(self) -> frozenset[int]:
        """The epochs whose adapter is kept beside the result."""
        if not self.most_snapshots:
            return frozenset()
        return kept_epochs(math.ceil(self.total_steps / self.steps_an_epoch), self.most_snapshots)

    @property
    def steps_an_epoch(self) -> int:
        """Batches that one pass over the examples takes; the last may be smaller."""
        return math.ceil(len(self.data.examples) / self.recipe.batch_size)

    @property
    def total_steps(self) -> int:
        """Steps up to the first limit that is known beforehand; the schedule ends there."""
        return self.planned[0]

    @cached_property
    def planned(self) -> tuple[int, str]:
        """`total_steps`, and the limit that they end at."""
        return stops.planned(self, trained_term(self.recipe).objective.whole)

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

    def examples_of(self, step: int) -> range:
        """The places of a step's examples (steps from 0) in the order of its epoch."""
        first = step % self.steps_an_epoch * self.recipe.batch_size
        return range(first, min(first + self.recipe.batch_size, len(self.data.examples)))

    def replayed_at(self, step: int) -> list[Example]:
        """The examples that a step replays: a function of seed and step."""
        recipe = self.recipe
        if not recipe.replay_ratio:
            return []
        first, behind = (
            drawn_before(
                self._seen_before(at),
                self._seen_before(self.total_steps),
                recipe.replay_ratio,
                recipe.replay_schedule,
            )
            for at in (step, step + 1)
        )
        return draw(self.replay.examples, first, behind - first, self.seed)

    def _seen_before(self, step: int) -> int:
        """Examples trained before a step."""
        epochs, steps = divmod(step, self.steps_an_epoch)
        return epochs * len(self.data.examples) + steps * self.recipe.batch_size

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
        texts = {"examples": self.data, "guard": self.guard, "replay": self.replay}
        return files.hash_of(
            {
                "base": fingerprint,
                **{name: _hash(data.examples) for name, data in texts.items()},
                "provenance": dict(self.provenance),
                "recipe": self.recipe.model_dump(mode="json"),
                "seed": self.seed,
                "targets": list(self.spec.targets),
                **({"snapshots": self.most_snapshots} if self.most_snapshots else {}),
            }
        )


def _hash(examples: Sequence[Example]) -> str:
    digest = hashlib.sha256()
    for example in examples:
        row = [example.fact_id, example.answer_start, example.ids, example.teacher_ids]
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def pad_id(lm: Base) -> int:
    """Any known token: padding is masked from attention and from the loss."""
    pad = getattr(lm.tokenizer, "pad_token_id", None)
    return 0 if pad is None else int(pad)
