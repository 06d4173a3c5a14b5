"""One step of the stack: the rows of all jobs, forward and back, in as few passes as may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from lorepack.lora import Stack
from lorepack.training.batches import Example
from lorepack.training.course import Course
from lorepack.training.job import Base
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


def backward(
    lm: Base, stack: Stack, members: Sequence[Member], tokens: int
) -> tuple[list[float], list[int]]:
    """Add the gradients of every job's next step to the stack's factors.

    Args:
        lm: the base.
        stack: attached; adapter i is trained by ``members[i]``.
        members: the jobs of this step.
        tokens: most tokens of one forward pass, but for a job's step, which is never divided.

    Returns:
        Of each job the mean loss, and how many tokens count in it.
    """
    losses, counts = [0.0] * len(members), [0] * len(members)
    for rows in _passes(lm, members, tokens):
        means, found = _losses(lm, stack, members, rows)
        means.sum().backward()  # a job without rows here adds nothing
        told = means.detach().tolist()
        for slot in set(rows.owners):
            losses[slot], counts[slot] = told[slot], found[slot]
    return losses, counts


def _passes(lm: Base, members: Sequence[Member], tokens: int) -> Iterator[Rows]:
    """The rows of the next step, in as many forward passes as the tokens ask for."""
    chosen: list[_Chosen] = []
    size = 0
    for slot, member in enumerate(members):
        course = member.course
        mine = split(course.examples(), member.share)
        cost = sum(len(e.ids) for row in mine for e in row)
        if chosen and size + cost > tokens:
            yield _rows(lm, chosen)
            chosen, size = [], 0
        chosen += [(slot, course.objective.whole, row) for row in mine]
        size += cost
    yield _rows(lm, chosen)


def _rows(lm: Base, chosen: Sequence[_Chosen]) -> Rows:
    return lay_out(chosen, _pad_id(lm)).to(lm.device)


def _losses(
    lm: Base, stack: Stack, members: Sequence[Member], rows: Rows
) -> tuple[torch.Tensor, list[int]]:
    """The mean loss (n,) of each job in these rows, and how many tokens count in it."""
    with stack.using(rows.owners, train=True):
        values = members[0].course.objective(lm.model, rows)  # (P,)
    tokens = torch.bincount(rows.jobs, minlength=len(members))
    values, shares = _averaged(values, tokens, members, rows)
    sums = torch.zeros(len(members), dtype=values.dtype, device=values.device)
    means = sums.index_add(0, rows.jobs, values) / shares.clamp(min=1)
    return means, tokens.tolist()


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
