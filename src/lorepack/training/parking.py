"""A job that leaves the stack before its end keeps its state, and goes on from there later.

Parked are the last good state of a job that broke, and a job for which memory was short.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from lorepack.lora import Decompositions, Stack
from lorepack.training import checkpoint
from lorepack.training.adamw import AdamW
from lorepack.training.checkpoint import State
from lorepack.training.course import Course
from lorepack.training.plan import Plan


def optimizer_of(
    model: nn.Module, courses: Sequence[Course], decompositions: Decompositions | None = None
) -> AdamW:
    """A stack of these jobs' adapters as they begin, in this order, and its optimizer."""
    jobs = [course.job for course in courses]
    specs, seeds = [job.spec for job in jobs], [job.seed for job in jobs]
    return AdamW(
        Stack(model, specs, seeds, decompositions),
        [job.recipe.weight_decay for job in jobs],
        ratios=[job.recipe.lora_plus for job in jobs],
        trains=[job.recipe.trains for job in jobs],
        beta2=[job.recipe.beta2 for job in jobs],
    )


def park(course: Course, inputs: str, optimizer: AdamW, slot: int) -> bool:
    """Keep the state of one job of a stack in its own folder.

    Args:
        course: the job.
        inputs: its hash; see `Job.inputs`.
        optimizer: of the stack that it is in.
        slot: its place there.

    Returns:
        Whether there was something to keep: steps done, and finite factors.
    """
    factors = optimizer.stack.factors(slot)
    sound = all(bool(torch.isfinite(part).all()) for pair in factors.values() for part in pair)
    if not (sound and course.step):
        return False
    alone = optimizer_of(optimizer.stack.model, [course], optimizer.stack.decompositions)
    alone.take(0, optimizer, slot)
    state = State(course.step, {0: course.progress()}, torch.get_num_threads(), Plan(1, 1))
    checkpoint.save(course.parked, inputs, alone, state)
    return True


def parked(course: Course, inputs: str) -> Path | None:
    """Where the state of exactly this job lies, unharmed; None when it has to begin anew."""
    place = checkpoint.newest(course.parked, inputs)
    if place is None or course.changed(checkpoint.peek(place).members[0]) is not None:
        return None
    return place


def unpark(course: Course, place: Path, optimizer: AdamW, slot: int) -> None:
    """Go on with a parked job in a stack; see `park`."""
    course.resume(checkpoint.peek(place).members[0])
    alone = optimizer_of(optimizer.stack.model, [course], optimizer.stack.decompositions)
    checkpoint.restore(place, alone)
    optimizer.take(slot, alone, 0)
