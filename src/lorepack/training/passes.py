"""One step of the stack: the rows of all jobs, forward and back, in as few passes as may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from lorepack.lora import Stack
from lorepack.training.batches import Example
from lorepack.training.course import Course
from lorepack.training.job import Base
from lorepack.training.memory import Short, one_pass
from lorepack.training.rows import Rows, lay_out, split

CPU_TOKENS = 4096
"""tokens of one forward pass on a processor: more no longer fit its caches"""

_Chosen = tuple[int, bool, Sequence[Example]]
"""a row to be: its job, whether questions count in its loss, its examples"""


@dataclass
class Member:
    """A course that is in the stack."""

    number: int
    course: Course
    share: bool
    """whether its examples may share rows"""


@dataclass(frozen=True)
class _Pass:
    """Rows that go through the model together."""

    chosen: Sequence[_Chosen]
    size: int
    """tokens"""
    before: int = 0
    """rows of its one job that stood in earlier passes of the step"""


def backward(
    lm: Base, stack: Stack, members: Sequence[Member], tokens: int, divide: bool = False
) -> tuple[list[float], list[int]]:
    """Add the gradients of every job's next step to the stack's factors.

    Args:
        lm: the base.
        stack: attached; adapter i is trained by ``members[i]``.
        members: the jobs of this step.
        tokens: most tokens of one forward pass; a job's step that has more is a pass of its own.
        divide: cut such a step into passes, of a row at least.

    Returns:
        Of each job the mean loss over its tokens, and how many they are.

    Raises:
        PassTooLargeError: memory ran out; gradients may be there in part.
    """
    losses, counts = [0.0] * len(members), [loss_tokens(member.course) for member in members]
    totals = torch.tensor(counts, device=lm.device)
    for one in _passes(members, tokens, divide):
        jobs = frozenset(slot for slot, _, _ in one.chosen)
        with one_pass(Short(jobs, len(one.chosen), one.size)):
            rows = _rows(lm, one.chosen)
            means = _losses(lm, stack, members, rows, totals, one.before)
            means.sum().backward()  # a job without rows here adds nothing
            told = means.detach().tolist()
        for slot in jobs:
            losses[slot] += told[slot]
    return losses, counts


def loss_tokens(course: Course) -> int:
    """Tokens in the loss of a job's next step."""
    whole = course.objective.whole
    return sum(len(e.ids) - (1 if whole else max(1, e.answer_start)) for e in course.examples())


def _passes(members: Sequence[Member], tokens: int, divide: bool) -> Iterator[_Pass]:
    """The rows of the next step, in as many forward passes as the tokens ask for."""
    chosen: list[_Chosen] = []
    size = 0
    for slot, member in enumerate(members):
        course = member.course
        mine = split(course.examples(), member.share)
        cost = _size(mine)
        if chosen and size + cost > tokens:
            yield _Pass(chosen, size)
            chosen, size = [], 0
        if divide and cost > tokens:
            yield from _divided([(slot, course.objective.whole, row) for row in mine], tokens)
            continue
        chosen += [(slot, course.objective.whole, row) for row in mine]
        size += cost
    if chosen:
        yield _Pass(chosen, size)


def _divided(rows: Sequence[_Chosen], tokens: int) -> Iterator[_Pass]:
    """The rows of one job's step in several passes."""
    start = 0
    while start < len(rows):
        end = start + 1
        while end < len(rows) and _size([row for _, _, row in rows[start : end + 1]]) <= tokens:
            end += 1
        yield _Pass(rows[start:end], _size([row for _, _, row in rows[start:end]]), start)
        start = end


def _size(rows: Sequence[Sequence[Example]]) -> int:
    return sum(len(example.ids) for row in rows for example in row)


def _rows(lm: Base, chosen: Sequence[_Chosen]) -> Rows:
    return lay_out(chosen, _pad_id(lm)).to(lm.device)


def _losses(
    lm: Base,
    stack: Stack,
    members: Sequence[Member],
    rows: Rows,
    totals: torch.Tensor,
    before: int,
) -> torch.Tensor:
    """What these rows add to the mean loss (n,) of each job over the tokens (n,) of its step."""
    with stack.using(rows.owners, train=True, before=before):
        values = members[0].course.objective(lm.model, rows)  # (P,)
    sums = torch.zeros(len(members), dtype=values.dtype, device=values.device)
    return sums.index_add(0, rows.jobs, values) / totals


def _averaged(
    values: torch.Tensor, tokens: torch.Tensor, members: Sequence[Member], rows: Rows
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses (P,) to sum up and what to divide each job's sum by (n,), as its recipe averages."""
    recipes = [member.course.job.recipe for member in members]
    samples = [recipe.loss_average == "sample" for recipe in recipes]
    if not any(samples):
        return values, tokens
    by_sample = torch.tensor(samples, device=values.device)  # (n,)
    lengths = torch.bincount(rows.examples)[rows.examples]  # (P,), tokens of each one's example
    owners = torch.zeros(int(rows.examples.max()) + 1, dtype=torch.long, device=values.device)
    owners[rows.examples] = rows.jobs  # (E,)
    examples = torch.bincount(owners, minlength=len(members))  # (n,)
    values = values / torch.where(by_sample[rows.jobs], lengths, 1)
    return values, torch.where(by_sample, examples, tokens)


def _pad_id(lm: Base) -> int:
    """Any known token: padding is masked from attention and from the loss."""
    pad = getattr(lm.tokenizer, "pad_token_id", None)
    return 0 if pad is None else int(pad)
