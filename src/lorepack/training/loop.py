"""Training jobs: one, or many together, each with the results that it would have alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorepack import signals
from lorepack.errors import InputError, LorepackError
from lorepack.lora import AdapterSpec
from lorepack.lora.spec import Init
from lorepack.training import result
from lorepack.training.batches import NOTHING, Example, Fitted, fit
from lorepack.training.course import Course, OnEpoch
from lorepack.training.job import Base, Job
from lorepack.training.listeners import Listeners
from lorepack.training.live import Watch
from lorepack.training.objectives import replay_terms, trained_term
from lorepack.training.parallel import Work, carry_out
from lorepack.training.recipe import Recipe
from lorepack.training.result import TrainResult
from lorepack.training.sinks import Sink


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
    """measures reliability after an epoch, dropout off, in the process that trains the job"""
    provenance: Mapping[str, Any] | None = None
    """kept in lorepack.json; base, recipe and seed where None"""
    replay: Sequence[Example] = ()
    """what may be replayed beside the examples, as the recipe's ``replay_ratio`` says"""
    guard: Sequence[Example] = ()
    """neutral text, not trained on, that harm is measured on after every epoch"""
    name: str = ""
    """for tables and sinks; the adapter's folder where empty"""
    snapshots: int = 0
    """most epochs whose adapter is kept in ``out/epochs/NNN``, evenly spaced"""


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
    replay: Sequence[Example] = (),
    guard: Sequence[Example] = (),
    snapshots: int = 0,
    **options: Any,
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
        replay: what may be replayed; see `Order`.
        guard: what harm is measured on; see `Order`.
        snapshots: most epochs whose adapter is kept; see `Order`.
        options: ``tokens``, ``checkpoint_minutes``, ``note``, ``stop``, ``watch`` and ``sinks``;
            see `train_many`.

    Raises:
        InputError: no examples, one that does not fit, a recipe that does not fit the model.
        NumericError: a loss or gradient is NaN or infinite; the last good step is kept.
        NoMemoryError: not even one row of a step fits; the last good step is kept.
        WriteError: no space, no permission.
        Stopped: ``stop`` said so, or SIGTERM in a process that heeds it; the state is kept.
    """
    paths = Path(out), Path(adapter)
    order = Order(
        examples, recipe, *paths, seed, on_epoch, provenance, replay, guard, snapshots=snapshots
    )
    place = order.out / "checkpoint"
    (outcome,) = train_many(lm, [order], checkpoints=place, progress=progress, **options)
    if isinstance(outcome, LorepackError):
        raise outcome
    return outcome


def train_many(
    lm: Base,
    orders: Sequence[Order],
    *,
    checkpoints: Path | str,
    slots: int | None = None,
    tokens: int | None = None,
    workers: int | None = None,
    checkpoint_minutes: float | None = 5,
    progress: Callable[[int, int], None] | None = None,
    note: Callable[[str], None] | None = None,
    stop: Callable[[], bool] | None = None,
    watch: Watch | None = None,
    sinks: Sequence[Sink] = (),
) -> list[TrainResult | LorepackError]:
    """Train adapters together on one base, each with the results that it would have alone.

    The same call again after a crash goes on and ends with the same bytes. A job that failed is
    tried again, from its last good step, by a call that finds the others done.

    Args:
        lm: a language model; ``context``, where it has one, bounds the examples.
        orders: the jobs, in the order in which they enter the stack.
        checkpoints: folder for checkpoints while training runs.
        slots: most adapters in the stack at once; None chooses from free memory.
        tokens: most tokens of one forward pass; None chooses from free memory.
        workers: processes, on a processor, that share the jobs; None takes one a CPU thread where
            there is enough to do.
        checkpoint_minutes: most between two checkpoints; None keeps to the recipes'
            ``checkpoint_every`` steps alone. Whichever comes first.
        progress: called with steps done and steps in all, summed over the jobs.
        note: called with remarks of one line, such as how many adapters fit at once.
        stop: asked after every step whether training is to end there.
        watch: called with how every job stands, about four times a second.
        sinks: take the values of every step besides train.jsonl; see `sinks.named`.

    Returns:
        For each job its result, or the error that stopped it while the others went on.

    Raises:
        InputError: no examples, one that does not fit, a recipe that does not fit the model, two
            jobs that write to one folder, numbers that are not positive.
        WriteError: no space, no permission.
        Stopped: ``stop`` said so, or SIGTERM in a process that heeds it; the state is kept.
    """
    _check_orders(orders)
    _check_positive(
        slots=slots, tokens=tokens, workers=workers, checkpoint_minutes=checkpoint_minutes
    )
    courses = [Course(_job(lm, o), o.out, o.adapter, o.on_epoch, o.name) for o in orders]
    inputs = [course.job.inputs(lm.fingerprint) for course in courses]
    outcomes: dict[int, TrainResult | LorepackError] = {}
    for number, course in enumerate(courses):
        done = result.finished(course.out, course.adapter, inputs[number])
        if done is not None:
            outcomes[number] = done
    if len(outcomes) < len(orders):
        with signals.held() as asked:
            given = {"progress": progress, "note": note, "stop": stop or asked, "watch": watch}
            listeners = Listeners(**_without_none(given), sinks=sinks)
            work = Work(lm, courses, inputs, Path(checkpoints), slots, tokens, checkpoint_minutes)
            outcomes |= carry_out(work, frozenset(outcomes), workers, listeners)
    return [_outcome(outcomes.get(n), course) for n, course in enumerate(courses)]


def _outcome(found: TrainResult | LorepackError | None, course: Course) -> Any:
    outcome = course.error or found
    assert outcome is not None
    return outcome


def _without_none(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}


def _check_positive(**given: float | None) -> None:
    for name, value in given.items():
        if value is not None and not value > 0:
            raise InputError(f"{name}={value}: expected a number above 0")


def _check_orders(orders: Sequence[Order]) -> None:
    seen: set[Path] = set()
    for order in orders:
        recipe = order.recipe
        if recipe.early_stop_reliability is not None and order.on_epoch is None:
            raise InputError(
                "early_stop_reliability needs a measurement every epoch: give on_epoch"
            )
        if recipe.replay_ratio and not order.replay:
            raise InputError(
                f"{order.out}: replay_ratio is {recipe.replay_ratio}, but there is nothing to "
                "replay: give examples as replay, or set replay_ratio=0"
            )
        if recipe.harm_budget is not None and not order.guard:
            raise InputError(
                f"{order.out}: harm_budget needs text to measure harm on: give examples as guard"
            )
        for folder in {order.out.resolve(), order.adapter.resolve()}:
            if folder in seen:
                raise InputError(f"two jobs write to {folder}; give each a folder of its own")
            seen.add(folder)


def _job(lm: Base, order: Order) -> Job:
    recipe, context = order.recipe, _context(lm)
    objective = trained_term(recipe).objective

    def fitted(texts: Sequence[Example], whole: bool, taught: bool = False) -> Fitted:
        return fit(
            texts,
            limit=min(recipe.max_length, context),
            rule=recipe.overlong,
            whole=whole,
            vocabulary=lm.model.get_input_embeddings().weight.shape[0],  # type: ignore[operator]
            teacher_limit=context if taught else None,
        )

    replayed = all(term.objective.whole for term in replay_terms(recipe))
    origin = order.provenance or {
        "base": {"fingerprint": lm.fingerprint, "name": lm.name},
        "recipe": recipe.model_dump(mode="json"),
        "seed": order.seed,
    }
    return Job(
        recipe,
        _spec(lm, recipe),
        fitted(order.examples, objective.whole, objective.in_context),
        order.seed,
        origin,
        fitted(order.replay, replayed) if recipe.replay_ratio else NOTHING,
        fitted(order.guard, True) if order.guard else NOTHING,
        order.snapshots,
    )


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
    # Where A alone is trained, a B of zeros would leave it without a gradient for ever.
    drawn: Init = "kaiming_B" if recipe.trains == "A" else "kaiming"
    return AdapterSpec.for_model(
        lm.model,
        rank=recipe.rank,
        alpha=recipe.alpha,
        rslora=recipe.scaling == "rslora",
        roles=recipe.targets,
        layers=recipe.layers,
        dropout=recipe.dropout,
        kind=recipe.kind,
        init="pissa" if recipe.init == "pissa" else drawn,
    )


def _context(lm: Base) -> int:
    """Tokens that the model can read at once."""
    config = getattr(lm.model, "config", None)
    limit = getattr(lm, "context", None) or getattr(config, "max_position_embeddings", None)
    return int(limit) if limit else 2**62
