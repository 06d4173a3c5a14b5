"""When a job ends: limits that are known beforehand, and targets that an epoch may reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lorepack.training.batches import Example
from lorepack.training.recipe import Recipe

if TYPE_CHECKING:
    from lorepack.training.job import Job


def planned(job: Job, whole: bool) -> tuple[int, str]:
    """Steps that a job takes unless an epoch reaches a target, and what ends it then.

    Args:
        job: with its examples.
        whole: whether questions count in its loss.

    Returns:
        The fewest of those that the recipe's limits allow, and the name of that limit; the
        earlier named of equals: ``epochs``, ``max_steps``, ``max_tokens``, ``exposures``.
    """
    recipe = job.recipe
    limits = [(job.steps_an_epoch * job.epochs, "epochs")]
    if recipe.max_steps is not None:
        limits.append((recipe.max_steps, "max_steps"))
    if recipe.max_tokens is not None:
        limits.append((_until_tokens(job, recipe.max_tokens, whole), "max_tokens"))
    if recipe.exposures is not None:
        limits.append((_until_exposed(job, recipe.exposures), "exposures"))
    return min(limits, key=lambda limit: limit[0])


def _until_tokens(job: Job, tokens: int, whole: bool) -> int:
    """Steps until so many tokens have counted in the loss."""
    an_epoch = sum(example.counted(whole) for example in job.data.examples)
    past = (tokens - 1) // an_epoch
    seen = past * an_epoch
    for step, batch in _batches(job, past + 1):
        seen += sum(example.counted(whole) for example in batch)
        if seen >= tokens:
            return step
    raise AssertionError("an epoch brings the tokens that are left")


def _until_exposed(job: Job, exposures: int) -> int:
    """Steps until every fact has been seen so many times, in whichever of its examples."""
    an_epoch = Counter(example.fact_id for example in job.data.examples)
    past = (exposures - 1) // min(an_epoch.values())
    missing = {fact: exposures - past * count for fact, count in an_epoch.items()}
    left = {fact: count for fact, count in missing.items() if count > 0}
    for step, batch in _batches(job, past + 1):
        for example in batch:
            if example.fact_id in left:
                left[example.fact_id] -= 1
                if not left[example.fact_id]:
                    del left[example.fact_id]
        if not left:
            return step
    raise AssertionError("an epoch brings the exposures that are left")


def _batches(job: Job, epoch: int) -> Iterator[tuple[int, list[Example]]]:
    """The steps of an epoch (from 1): steps done after each, and its examples."""
    order, size = job.order_of(epoch), job.recipe.batch_size
    for number, start in enumerate(range(0, len(order), size), 1):
        batch = [job.data.examples[i] for i in order[start : start + size]]
        yield (epoch - 1) * job.steps_an_epoch + number, batch


def reached(recipe: Recipe, epoch: dict[str, Any]) -> str | None:
    """Which target the measures of an epoch reach, if any.

    Args:
        recipe: the targets.
        epoch: its row of epochs.json.
    """
    if recipe.harm_budget is not None and epoch["harm"] > recipe.harm_budget:
        return "harm_budget"
    target, reliability = recipe.early_stop_reliability, epoch["reliability"]
    if target is not None and reliability is not None and reliability >= target:
        return "reliability"
    if recipe.stop_probability is not None:
        return "stop_probability" if epoch["least_probability"] > recipe.stop_probability else None
    return None
