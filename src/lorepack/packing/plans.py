"""Jobs made ready: all data read, every example made and checked, before any training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lorepack import training
from lorepack.errors import InputError, LorepackError
from lorepack.facts import Fact
from lorepack.llm import LanguageModel
from lorepack.packing import distillation, material, replay
from lorepack.packing.job import Job, Source, listed
from lorepack.packing.material import Material
from lorepack.packing.recall import share_right
from lorepack.packing.replay import Beside
from lorepack.packing.run import Run, versions
from lorepack.packing.stages import Progress
from lorepack.training import Example, Order, Recipe
from lorepack.training.objectives import trained_term

Read = Callable[[Source], Material]


@dataclass
class Plan:
    """One job, ready to be trained."""

    job: Job
    run: Run
    recipe: Recipe
    material: Material
    evaluate: tuple[Fact, ...]
    order: Order
    beside: dict[str, Any]
    """counts and hashes of what it replays, and of its guard"""
    own: dict[str, Any] | None = None
    """what the base said to be replayed, to be kept: drawn anew it might differ in rounding"""
    notes: list[str] = field(default_factory=list)


def plan_all(jobs: Sequence[Job], lm: LanguageModel, out: Path, progress: Progress) -> list[Plan]:
    """All jobs, read and checked, so that nothing fails late that can be told early.

    Raises:
        LorepackError: a job that cannot be trained as it is, by name.
    """
    read = cache(material.read_source)  # sources that jobs share are read once
    plans = []
    for number, job in enumerate(jobs, 1):
        try:
            plans.append(_plan(job, lm, out, read))
        except LorepackError as error:
            raise type(error)(f"job {job.name}: {error}") from error
        progress("read", number, len(jobs))
    return plans


def _plan(job: Job, lm: LanguageModel, out: Path, read: Read) -> Plan:
    recipe, run = job.chosen(), Run(out / job.name)
    training.check(lm, recipe)
    found = material.gather(listed(job.data), read)
    evaluate: tuple[Fact, ...] = ()
    if job.evaluate is not None:
        evaluate = material.gather(listed(job.evaluate), read).facts
        if not evaluate:
            raise InputError("evaluate holds texts alone; expected facts to ask")
    notes = list(found.notes)
    limit = min(recipe.max_length, lm.context)
    examples = _examples(lm, job, recipe, found, limit, notes)
    replayed = _replayed(lm, job, recipe, read, limit, run, notes)
    guard = _guard(lm, job, recipe, read, limit, {t.text for t in found.texts} | replayed.texts)
    beside = {"replay": replayed.described, "guard": guard.described}
    beside = {name: value for name, value in beside.items() if value}
    order = Order(
        examples=examples,
        recipe=recipe,
        out=run.training,
        adapter=run.adapter,
        seed=job.seed,
        on_epoch=_meter(lm, recipe, found),
        provenance={**_provenance(job, recipe, lm, found), **beside},
        replay=replayed.examples,
        guard=guard.examples,
        name=job.name,
    )
    training.check_order(lm, order)
    return Plan(job, run, recipe, found, evaluate, order, beside, replayed.own, notes)


def _examples(
    lm: LanguageModel, job: Job, recipe: Recipe, found: Material, limit: int, notes: list[str]
) -> list[Example]:
    if trained_term(recipe).objective.in_context:
        return distillation.examples(lm, found, recipe.loss, notes)
    if not (found.facts or found.texts):
        raise InputError(
            f"the data holds deep-context targets alone, which loss={recipe.loss} does not train; "
            "set loss=distill or loss=distill-topk"
        )
    return material.examples(lm, found, job.seed, limit)


def _replayed(
    lm: LanguageModel,
    job: Job,
    recipe: Recipe,
    read: Read,
    limit: int,
    run: Run,
    notes: list[str],
) -> Beside:
    """What a job replays; nothing where its recipe replays nothing."""
    if job.replay is None:
        if recipe.replay_ratio:
            raise InputError(
                f"replay_ratio is {recipe.replay_ratio}, but there is nothing to replay: give "
                "replay, a file of facts or texts, neutral or own; or set replay_ratio=0"
            )
        return Beside()
    if not recipe.replay_ratio:
        notes.append("replay is given, but replay_ratio is 0: nothing is replayed")
        return Beside()
    return replay.replayed(lm, listed(job.replay), read, limit, job.seed, run.folder)


def _guard(
    lm: LanguageModel, job: Job, recipe: Recipe, read: Read, limit: int, seen: set[str]
) -> Beside:
    """What harm is measured on."""
    if job.guard is not None:
        return replay.guard(lm, listed(job.guard), read, limit, seen)
    if recipe.harm_budget is not None:
        raise InputError(
            f"harm_budget is {recipe.harm_budget}, but there is no text to measure harm on: give "
            "guard, a file of texts or neutral; or set harm_budget=none"
        )
    return Beside()


def _meter(lm: LanguageModel, recipe: Recipe, found: Material) -> Any:
    """What measures reliability after an epoch, where the recipe stops by it."""
    if recipe.early_stop_reliability is None:
        return None
    if not found.facts:
        raise InputError("early_stop_reliability needs facts to ask; the job has texts alone")
    return lambda *_: share_right(lm, found.facts)


def _provenance(job: Job, recipe: Recipe, lm: LanguageModel, found: Material) -> dict[str, Any]:
    """What ``lorepack.json`` keeps of where an adapter comes from."""
    return {
        "base": {"name": lm.name, "fingerprint": lm.fingerprint},
        "recipe": recipe.model_dump(mode="json"),
        "seed": job.seed,
        **found.describe(),
        "mix": found.mix(job.seed).manifest(),
        "versions": versions(),
    }
