"""Training jobs: one, or many together, each with the results that it would have alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorepack import files
from lorepack.errors import InputError, LorepackError
from lorepack.lora import AdapterSpec
from lorepack.training import result
from lorepack.training.batches import Example, fit
from lorepack.training.course import Course, OnEpoch
from lorepack.training.engine import Engine
from lorepack.training.job import Base, Job
from lorepack.training.objectives import OBJECTIVES
from lorepack.training.passes import CPU_TOKENS
from lorepack.training.recipe import Recipe
from lorepack.training.result import TrainResult


@dataclass(frozen=True)
class Order:
    """One adapter that is to be trained."""

    examples: Sequence[Example]
    """the mix as token ids"""
    recipe: Recipe
    out: Path
    """folder for train.jsonl, epochs.json and result.json"""
    adapter: Path
    """folder for the adapter"""
    seed: int = 0
    """of the first factors, the order and dropout"""
    on_epoch: OnEpoch | None = field(default=None, compare=False)
    """measures reliability after an epoch, dropout off"""
    provenance: Mapping[str, Any] | None = None
    """kept in lorepack.json; base, recipe and seed where None"""


def train(
    lm: Base,
    examples: Sequence[Example],
    recipe: Recipe,
    *,
    out: Path | str,
    adapter: Path | str,
    seed: int,
    on_epoch: OnEpoch | None = None,
    progress: Callable[[int, int], None] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> TrainResult:
    """Train one adapter; the same call again after a crash goes on and ends with the same bytes.

    Args:
        lm: a language model; ``context``, where it has one, bounds the examples.
        examples: the mix as token ids.
        recipe: the hyper-parameters.
        out: folder for train.jsonl, epochs.json and, while running, checkpoint/.
        adapter: folder for the adapter.
        seed: of the first factors, the order and dropout.
        on_epoch: measures reliability after an epoch, dropout off; see `OnEpoch`.
        progress: called with steps done and steps in all.
        provenance: kept in lorepack.json; base, recipe and seed where None.

    Raises:
        InputError: no examples, one that does not fit, a recipe that does not fit the model.
        NumericError: a loss or gradient is NaN or infinite; the last checkpoint is kept.
        WriteError: no space, no permission.
    """
    order = Order(examples, recipe, Path(out), Path(adapter), seed, on_epoch, provenance)
    (outcome,) = train_many(lm, [order], checkpoints=order.out / "checkpoint", progress=progress)
    if isinstance(outcome, LorepackError):
        raise outcome
    return outcome


def train_many(
    lm: Base,
    orders: Sequence[Order],
    *,
    checkpoints: Path | str,
    slots: int = 64,
    tokens: int = CPU_TOKENS,
    progress: Callable[[int, int], None] | None = None,
) -> list[TrainResult | LorepackError]:
    """Train adapters together on one base, each with the results that it would have alone.

    The same call again after a crash goes on and ends with the same bytes.

    Args:
        lm: a language model; ``context``, where it has one, bounds the examples.
        orders: the jobs, in the order in which they enter the stack.
        checkpoints: folder for checkpoints while training runs.
        slots: most adapters in the stack at once.
        tokens: most tokens of one forward pass.
        progress: called with steps done and steps in all, summed over the jobs.

    Returns:
        For each job its result, or the error that stopped it while the others went on.

    Raises:
        InputError: no examples, one that does not fit, a recipe that does not fit the model, two
            jobs that write to one folder.
        WriteError: no space, no permission.
    """
    _check_orders(orders)
    courses = [Course(_job(lm, o), o.out, o.adapter, o.on_epoch) for o in orders]
    inputs = [course.job.inputs(lm.fingerprint) for course in courses]
    outcomes: dict[int, TrainResult | LorepackError] = {}
    for number, course in enumerate(courses):
        done = result.finished(course.out, course.adapter, inputs[number])
        if done is not None:
            outcomes[number] = done
    if len(outcomes) < len(orders):
        together = files.hash_of([inputs, slots])
        folder = Path(checkpoints)
        engine = Engine(lm, courses, inputs, folder, together, slots, tokens, outcomes)
        outcomes |= engine.run(progress or (lambda done, total: None))
    return [_outcome(outcomes.get(n), course) for n, course in enumerate(courses)]


def _outcome(found: TrainResult | LorepackError | None, course: Course) -> Any:
    outcome = found or course.error
    assert outcome is not None
    return outcome


def _check_orders(orders: Sequence[Order]) -> None:
    seen: set[Path] = set()
    for order in orders:
        recipe = order.recipe
        if recipe.early_stop_reliability is not None and order.on_epoch is None:
            raise InputError(
                "early_stop_reliability needs a measurement every epoch: give on_epoch"
            )
        for folder in {order.out.resolve(), order.adapter.resolve()}:
            if folder in seen:
                raise InputError(f"two jobs write to {folder}; give each a folder of its own")
            seen.add(folder)


def _job(lm: Base, order: Order) -> Job:
    recipe = order.recipe
    data = fit(
        order.examples,
        limit=min(recipe.max_length, _context(lm)),
        rule=recipe.overlong,
        whole=OBJECTIVES[recipe.loss].whole,
        vocabulary=lm.model.get_input_embeddings().weight.shape[0],  # type: ignore[operator]
    )
    origin = order.provenance or {
        "base": {"fingerprint": lm.fingerprint, "name": lm.name},
        "recipe": recipe.model_dump(mode="json"),
        "seed": order.seed,
    }
    return Job(recipe, _spec(lm, recipe), data, order.seed, origin)


def check(lm: Base, recipe: Recipe) -> None:
    """Whether a recipe fits a model, told before any work is done.

    Raises:
        InputError: no module of these names, a layer that is not there, a rank too high.
    """
    _spec(lm, recipe)


def check_order(lm: Base, order: Order) -> None:
    """Whether a job can be trained on a model as it is, told before any work is done.

    Raises:
        InputError: as `check`; or no examples, one that does not fit, a token beyond the model's.
    """
    _job(lm, order)


def _spec(lm: Base, recipe: Recipe) -> AdapterSpec:
    return AdapterSpec.for_model(
        lm.model,
        rank=recipe.rank,
        alpha=recipe.alpha,
        rslora=recipe.scaling == "rslora",
        roles=recipe.targets,
        layers=recipe.layers,
        dropout=recipe.dropout,
    )


def _context(lm: Base) -> int:
    """Tokens that the model can read at once."""
    config = getattr(lm.model, "config", None)
    limit = getattr(lm, "context", None) or getattr(config, "max_position_embeddings", None)
    return int(limit) if limit else 2**62
