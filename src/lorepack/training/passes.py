"""One step of the stack: the rows of all jobs, forward and back, in as few passes as may be.

Jobs with different objectives share a pass: the model runs once over the rows of all, then every
objective sees the outputs of its own tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lorepack.lora import Stack
from lorepack.training.batches import Example
from lorepack.training.course import Course, Part
from lorepack.training.job import Base, pad_id
from lorepack.training.objectives import Objective, Taught, Term, Tokens
from lorepack.training.objectives.next_token import surprise
from lorepack.training.outputs import Outputs, outputs_at
from lorepack.training.rows import Rows, lay_out, split
from lorepack.training.teacher import Teacher

CPU_TOKENS = 4096
"""tokens of one forward pass on a processor: more no longer fit its caches"""

_Chosen = dict[Objective, tuple[Tensor | None, Tensor]]
"""objective -> which tokens are its own, None for all, and the mean that each belongs to"""


@dataclass
class Member:
    """A course that is in the stack."""

    number: int
    course: Course
    share: bool
    """whether its examples may share rows"""


@dataclass
class StepLoss:
    """What one step of a job measured."""

    means: dict[str, float] = field(default_factory=dict)
    """``loss``, the mean of its own examples' tokens, and of what is replayed where it is"""
    tokens: int = 0
    """of its own examples in the loss"""
    surprise: float | None = None
    """the largest -log p of a token of its own examples, nats, where somebody asks for it"""


def backward(
    lm: Base, stack: Stack, members: Sequence[Member], tokens: int, teacher: Teacher
) -> list[StepLoss]:
    """Add the gradients of every job's next step to the stack's factors.

    Args:
        lm: the base.
        stack: attached; adapter i is trained by ``members[i]``.
        members: the jobs of this step.
        tokens: most tokens of one forward pass, but for a job's step, which is never divided.
        teacher: asks the base for those who compare with it.
    """
    found = [StepLoss() for _ in members]
    passes = list(_passes(members, tokens))
    asked = [part.asked(members) for part in passes]
    for one, taught in zip(passes, teacher.step(stack, asked), strict=True):
        _run(lm, stack, members, one, taught, found)
    return found


@dataclass
class _Pass:
    """Rows that go through the model together, and the means that are taken over them."""

    rows: list[tuple[int, bool, Sequence[Example]]] = field(default_factory=list)
    """as `lay_out` takes them: the slot, whether questions count, the row's examples"""
    terms: list[tuple[int, Term]] = field(default_factory=list)
    """the means, each with its slot"""
    groups: dict[Objective, dict[int, int]] = field(default_factory=dict)
    """objective -> its rows, and the mean that each row's tokens belong to"""

    def add(self, slot: int, part: Part, share: bool) -> None:
        """The rows of some examples of a job."""
        first = len(self.terms)
        self.terms += [(slot, term) for term in part.terms]
        whole = any(term.objective.whole for term in part.terms)
        for row in split(part.examples, share):
            for number, term in enumerate(part.terms, first):
                self.groups.setdefault(term.objective, {})[len(self.rows)] = number
            self.rows.append((slot, whole, row))

    def asked(self, members: Sequence[Member]) -> dict[Objective, list[tuple[int, Example]]]:
        """What the base must be asked for; see `Teacher.step`."""
        return {
            objective: [
                (members[self.rows[row][0]].number, e) for row in rows for e in self.rows[row][2]
            ]
            for objective, rows in self.groups.items()
            if objective.reading(self.rows[next(iter(rows))][2][0]) is not None
        }

    def tokens_of(self, objective: Objective, rows: Rows) -> tuple[Tensor | None, Tensor]:
        """Which tokens (p,) are an objective's, None for all, and the mean (p,) of each."""
        mine = self.groups[objective]
        numbers = torch.tensor([mine.get(row, -1) for row in range(len(self.rows))])[rows.rows]
        counts = numbers >= 0
        if not objective.whole:
            counts &= rows.answers
        if bool(counts.all()):
            return None, numbers
        return counts.nonzero().flatten(), numbers[counts]


def _passes(members: Sequence[Member], tokens: int) -> Iterator[_Pass]:
    """The rows of the next step, in as many forward passes as the tokens ask for."""
    one, size = _Pass(), 0
    for slot, member in enumerate(members):
        parts = member.course.parts()
        cost = sum(len(example.ids) for part in parts for example in part.examples)
        if one.rows and size + cost > tokens:
            yield one
            one, size = _Pass(), 0
        for part in parts:
            one.add(slot, part, member.share)
        size += cost
    yield one


def _run(
    lm: Base,
    stack: Stack,
    members: Sequence[Member],
    one: _Pass,
    taught: dict[Objective, Taught],
    found: list[StepLoss],
) -> None:
    """One pass, forward and back; what it measured goes to ``found``."""
    laid = lay_out(one.rows, pad_id(lm))
    chosen = {objective: one.tokens_of(objective, laid) for objective in one.groups}
    numbers = torch.cat([terms for _, terms in chosen.values()])
    sizes = torch.bincount(numbers, minlength=len(one.terms)).tolist()
    rows = laid.to(lm.device)
    with stack.using(rows.owners, train=True):
        student = outputs_at(lm.model, rows, any(objective.hidden for objective in chosen))
    means = _means(student, rows, chosen, taught, len(one.terms))
    _weighted(means, one.terms).backward()
    for (slot, term), mean, size in zip(one.terms, means.detach().tolist(), sizes, strict=True):
        found[slot].means[term.name] = mean
        if term.name == "loss":
            found[slot].tokens = size
    _note_surprise(student, rows, chosen, one.terms, members, found)


def _means(
    student: Outputs,
    rows: Rows,
    chosen: _Chosen,
    taught: dict[Objective, Taught],
    count: int,
) -> Tensor:
    """The mean (count,) of each term over its tokens."""
    found: list[Tensor] = []
    for objective, (where, terms) in chosen.items():
        where = None if where is None else where.to(rows.targets.device)
        targets = rows.targets if where is None else rows.targets[where]
        tokens = Tokens(targets, terms.to(targets.device), count)
        values = objective(student.at(where), tokens, taught.get(objective, ()))
        found.append(tokens.means(values.values, values.weights))
    return found[0] if len(found) == 1 else torch.stack(found).sum(0)


def _weighted(means: Tensor, terms: Sequence[tuple[int, Term]]) -> Tensor:
    """What is minimised: the sum over jobs of the weighted sum of their means."""
    weights = [term.weight for _, term in terms]
    if all(weight == 1 for weight in weights):
        return means.sum()
    return (means * torch.tensor(weights, dtype=means.dtype, device=means.device)).sum()


@torch.no_grad()
def _note_surprise(
    student: Outputs,
    rows: Rows,
    chosen: _Chosen,
    terms: Sequence[tuple[int, Term]],
    members: Sequence[Member],
    found: list[StepLoss],
) -> None:
    """Of jobs that stop by probability, how unlikely the least likely of their tokens was."""
    watched = {
        number
        for number, (slot, term) in enumerate(terms)
        if term.name == "loss" and members[slot].course.job.recipe.stop_probability is not None
    }
    for where, numbers in chosen.values():
        mine = torch.tensor([number in watched for number in numbers.tolist()]).nonzero().flatten()
        if not watched or not len(mine):
            continue
        places = (mine if where is None else where[mine]).to(rows.targets.device)
        values = surprise(student.logits[places], rows.targets[places])
        worst = torch.zeros(len(terms), dtype=values.dtype, device=values.device)
        worst = worst.scatter_reduce(0, numbers[mine].to(values.device), values, "amax")
        told = worst.tolist()
        for number in watched & set(numbers[mine].tolist()):
            found[terms[number][0]].surprise = told[number]
