"""Chooses a plan from measured memory, and makes it smaller where that was too much.

What one adapter takes is counted: its factors, gradients and two moments, and what stands beside
them while a checkpoint is written or the stack is put together anew. What one token takes is
measured in a probe pass on the model: all that the forward pass keeps for the way back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from lorepack.lora.spec import module_of
from lorepack.lora.targets import sizes
from lorepack.training.course import Course
from lorepack.training.job import Base
from lorepack.training.memory import PassTooLargeError, Short, free_bytes, release
from lorepack.training.parking import optimizer_of
from lorepack.training.passes import CPU_TOKENS, Member, backward
from lorepack.training.plan import Plan
from lorepack.training.rows import can_share
from lorepack.training.teacher import Teacher

USABLE = 0.8
"""of the free memory: the rest is for what no formula counts, fragments among it"""
COPIES = 6
"""of an adapter's factors: themselves, gradients, two moments, and the moments once more while
they are written; while the stack is put together anew, three of the old and three of the new"""
CPU_SLOTS, CUDA_SLOTS = 64, 256
"""most adapters at once, where nobody asks for more: passes are full long before"""
CUDA_TOKENS = 32768
"""tokens of one forward pass on a GPU: more make it no faster"""
_GiB = 2**30


def choose(
    lm: Base,
    courses: Sequence[Course],
    slots: int | None,
    tokens: int | None,
    sharing: int = 1,
) -> tuple[Plan, str | None]:
    """How many adapters and tokens at once.

    Of the numbers that are not given, the most adapters whose steps fit in one pass beside them,
    then the most tokens: a power of two, so that small differences in free memory change nothing.

    Args:
        lm: the base, in place.
        courses: the jobs that wait.
        slots: adapters, where asked for.
        tokens: of one pass, where asked for.
        sharing: processes that share the free memory.

    Returns:
        The plan, and one line on it where there was something to choose.
    """
    cuda = torch.device(lm.device).type == "cuda"
    most_slots, most_tokens = (CUDA_SLOTS, CUDA_TOKENS) if cuda else (CPU_SLOTS, CPU_TOKENS)
    most_slots, most_tokens = slots or min(most_slots, len(courses)), tokens or most_tokens
    if len(courses) < 2 or (slots and tokens):
        return Plan(most_slots, most_tokens), None
    free = free_bytes(lm.device)
    each = COPIES * max(adapter_bytes(lm, courses))
    step = max(course.step_tokens() for course in courses)
    try:
        token = token_bytes(lm, courses)
    except PassTooLargeError as error:
        release(lm.device)
        told = f"memory ran out in a pass of {error.short.tokens:,} tokens: cut to single rows"
        return Plan(slots or 1, tokens or 1, divide=True), told

    def needs(count: int, wide: int) -> int:
        return int(count * each + wide * token)

    budget = USABLE * free / sharing if free is not None else float("inf")
    count = slots or most_slots
    while not slots and count > 1 and needs(count, min(count * step, most_tokens)) > budget:
        count -= 1
    wide = most_tokens
    while not tokens and wide > 1 and needs(count, wide) > budget:
        wide //= 2
    plan = Plan(count, wide, needs=needs(count, min(wide, count * step)))
    return plan, _told(plan, len(courses), free)


def kept(
    lm: Base, plan: Plan, inside: int, slots: int | None, tokens: int | None
) -> tuple[Plan, str | None]:
    """The plan of a checkpoint, unless other numbers are asked for.

    Args:
        lm: the base.
        plan: that the jobs began with.
        inside: adapters that are in the stack already.
        slots: see `choose`.
        tokens: see `choose`.
    """
    now = replace(plan, slots=slots or plan.slots, tokens=tokens or plan.tokens)
    if (now.slots, now.tokens) != (plan.slots, plan.tokens):
        return now, (
            f"goes on with {now.slots} adapters at once, {now.tokens:,} tokens a pass, not "
            f"{plan.slots} and {plan.tokens:,} as it began: results may differ in rounding"
        )
    free = free_bytes(lm.device)
    if free is not None and plan.needs > free:
        return now, (
            f"goes on with {plan.slots} adapters at once, {plan.tokens:,} tokens a pass, as it "
            f"began, though that takes about {plan.needs / _GiB:.1f} GiB and {free / _GiB:.1f} "
            f"are free; lower slots or tokens if it does not fit"
        )
    return now, None


def smaller(plan: Plan, short: Short) -> Plan:
    """Half the tokens of a pass that did not fit; a step of one job is cut where it must be."""
    tokens = max(1, min(plan.tokens, short.tokens // 2))
    return replace(plan, tokens=tokens, divide=plan.divide or len(short.jobs) == 1)


def fewer(plan: Plan, slots: int) -> Plan:
    """The plan with fewer adapters at once."""
    return replace(plan, slots=slots)


def adapter_bytes(lm: Base, courses: Sequence[Course]) -> list[int]:
    """Bytes of each job's factors in the stack, padded to the largest rank among them."""
    found = []
    rank = max(rank for c in courses for rank in (c.job.spec.rank, *c.job.spec.ranks.values()))
    wide = next(lm.model.parameters()).dtype == torch.float64
    for course in courses:
        modules = [module_of(lm.model, name) for name in course.job.spec.targets]
        found.append(sum(sum(sizes(module)) for module in modules) * rank * (8 if wide else 4))
    return found


def token_bytes(lm: Base, courses: Sequence[Course]) -> float:
    """Bytes that a token takes in a pass: the most over the kinds of jobs.

    One step forward and back for each kind (objective and targets), with the job that has the
    longest example; its gradients are thrown away.

    Raises:
        PassTooLargeError: not even that fits.
    """
    kinds: dict[tuple[str, tuple[str, ...]], Course] = {}
    for course in courses:
        key = (course.job.recipe.loss, course.job.spec.targets)
        if key not in kinds or _longest(course) > _longest(kinds[key]):
            kinds[key] = course
    return max(_probed(lm, course) for course in kinds.values())


def _probed(lm: Base, course: Course) -> float:
    optimizer = optimizer_of(lm.model, [course])
    stack = optimizer.stack
    share = can_share(lm.model.config, _longest(course))  # type: ignore[arg-type]
    own = {
        tensor.untyped_storage().data_ptr()
        for tensor in chain(lm.model.parameters(), lm.model.buffers(), stack.parameters())
    }
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()

    with saved_tensors_hooks(count, lambda tensor: tensor), stack.attached():
        stack.set_step(course.step)
        backward(lm, stack, [Member(0, course, share)], Teacher(lm, [course.job], 0), 1)
    # On the way back, a gradient and what it is made of stand beside what is kept.
    peak = sum(kept.values()) + 3 * max(kept.values())
    return peak / course.step_tokens()


def _longest(course: Course) -> int:
    return max(len(example.ids) for example in course.job.data.examples)


def _told(plan: Plan, jobs: int, free: int | None) -> str:
    size = f"{plan.slots} of {jobs} adapters at once, {plan.tokens:,} tokens a pass"
    if free is None:
        return f"{size}; this system does not tell how much memory is free"
    return f"{size}: {plan.needs / _GiB:.1f} of {free / _GiB:.1f} GiB free"
