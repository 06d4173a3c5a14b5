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
from lorepack.training import lean
from lorepack.training.batches import Example
from lorepack.training.course import Course, Part
from lorepack.training.job import Base, pad_id
from lorepack.training.memory import Short, one_pass
from lorepack.training.objectives import Objective, Taught, Term, Tokens
from lorepack.training.objectives.next_token import surprise
from lorepack.training.outputs import Outputs, outputs_at
from lorepack.training.rows import Rows, lay_out, split
from lorepack.training.teacher import Teacher

CPU_TOKENS = 2048
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
    lm: Base,
    stack: Stack,
    members: Sequence[Member],
    teacher: Teacher,
    tokens: int,
    divide: bool = False,
) -> list[StepLoss]:
    """Add the gradients of every job's next step to the stack's factors.

    Args:
        lm: the base.
        stack: attached; adapter i is trained by ``members[i]``.
        members: the jobs of this step.
        teacher: asks the base for those who compare with it.
        tokens: most tokens of one forward pass; a job's step that has more is a pass of its own.
        divide: cut such a step into passes, of a row at least.

    Raises:
        PassTooLargeError: memory ran out; gradients may be there in part.
    """
    found = [StepLoss() for _ in members]
    passes = list(_passes(members, tokens, divide))
    totals = _totals(lm, stack, passes) if divide else {}
    taught = teacher.step(stack, [one.asked(members) for one in passes])
    for one in passes:
        with one_pass(one.short()):
            _run(lm, stack, members, one, next(taught), totals, found)
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
    before: int = 0
    """rows of its one job that stood in earlier passes of the step"""

    def add(self, slot: int, part: Part, share: bool) -> None:
        """The rows of some examples of a job."""
        first = len(self.terms)
        self.terms += [(slot, term) for term in part.terms]
        whole = any(term.objective.whole for term in part.terms)
        for row in split(part.examples, share):
            for number, term in enumerate(part.terms, first):
                self.groups.setdefault(term.objective, {})[len(self.rows)] = number
            self.rows.append((slot, whole, row))

    def cut(self, start: int, end: int) -> _Pass:
        """Some of its rows."""
        groups = {
            objective: {row - start: mean for row, mean in rows.items() if start <= row < end}
            for objective, rows in self.groups.items()
        }
        groups = {objective: rows for objective, rows in groups.items() if rows}
        return _Pass(self.rows[start:end], self.terms, groups, self.before + start)

    def tokens(self) -> int:
        """Those of all its examples."""
        return sum(len(example.ids) for _, _, row in self.rows for example in row)

    def short(self) -> Short:
        """How it is named where it does not fit."""
        return Short(frozenset(slot for slot, _, _ in self.rows), len(self.rows), self.tokens())

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


def _passes(members: Sequence[Member], tokens: int, divide: bool) -> Iterator[_Pass]:
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
        if divide and cost > tokens:  # then it stands alone: nothing fitted beside it
            yield from _divided(one, tokens)
            one, size = _Pass(), 0
    if one.rows:
        yield one


def _divided(whole: _Pass, tokens: int) -> Iterator[_Pass]:
    """The rows of one job's step in several passes."""
    start = 0
    while start < len(whole.rows):
        end = start + 1
        while end < len(whole.rows) and whole.cut(start, end + 1).tokens() <= tokens:
            end += 1
        yield whole.cut(start, end)
        start = end


def _totals(lm: Base, stack: Stack, passes: Sequence[_Pass]) -> dict[tuple[int, str], float]:
    """What the sums of divided steps are divided by, by slot and name of the mean."""
    found: dict[tuple[int, str], float] = {}
    for one in passes:
        with one_pass(one.short()), torch.no_grad():
            rows, chosen, _ = _laid(lm, one)
            weighted = {o: where for o, where in chosen.items() if o.weighted}
            plain = {o: where for o, where in chosen.items() if not o.weighted}
            totals = torch.zeros(len(one.terms))
            for _, (where, terms) in plain.items():
                tokens = _tokens(one, rows, where, terms)
                ones = torch.ones(len(terms), device=tokens.targets.device)
                totals += tokens.sums(ones)[1].cpu()
            if weighted:  # how much its tokens weigh is known when the student has spoken
                student = _student(lm, stack, rows, one, weighted)
                totals += _sums(student, rows, one, weighted, {})[1].float().cpu()
        for (slot, term), total in zip(one.terms, totals.tolist(), strict=True):
            found[slot, term.name] = found.get((slot, term.name), 0.0) + total
    return found


def _laid(lm: Base, one: _Pass) -> tuple[Rows, _Chosen, list[int]]:
    """A pass as tensors, whose tokens are whose, and how many each mean has."""
    laid = lay_out(one.rows, pad_id(lm))
    chosen = {objective: one.tokens_of(objective, laid) for objective in one.groups}
    numbers = torch.cat([terms for _, terms in chosen.values()])
    sizes: list[int] = torch.bincount(numbers, minlength=len(one.terms)).tolist()
    return laid.to(lm.device), chosen, sizes


def _run(
    lm: Base,
    stack: Stack,
    members: Sequence[Member],
    one: _Pass,
    taught: dict[Objective, Taught],
    totals: dict[tuple[int, str], float],
    found: list[StepLoss],
) -> None:
    """One pass, forward and back; what it measured goes to ``found``."""
    rows, chosen, sizes = _laid(lm, one)
    student = _student(lm, stack, rows, one, chosen)
    sums, weights = _sums(student, rows, one, chosen, taught)
    if totals:
        known = [totals[slot, term.name] for slot, term in one.terms]
        weights = torch.tensor(known, dtype=sums.dtype, device=sums.device)
    means = sums / torch.where(weights > 0, weights, 1)
    _weighted(means, one.terms).backward()
    for (slot, term), mean, size in zip(one.terms, means.detach().tolist(), sizes, strict=True):
        found[slot].means[term.name] = found[slot].means.get(term.name, 0.0) + mean
        if term.name == "loss":
            found[slot].tokens += size
    _note_surprise(student, rows, chosen, one.terms, members, found)


def _student(lm: Base, stack: Stack, rows: Rows, one: _Pass, chosen: _Chosen) -> Outputs:
    """What the model says with the adapters on."""
    hidden = any(objective.hidden for objective in chosen)
    if not hidden and lean.fits(lm.model, stack, rows):
        return Outputs(lean.logits(lm.model, stack, rows))
    with stack.using(rows.owners, train=True, before=one.before):
        return outputs_at(lm.model, rows, hidden)


def _sums(
    student: Outputs,
    rows: Rows,
    one: _Pass,
    chosen: _Chosen,
    taught: dict[Objective, Taught],
) -> tuple[Tensor, Tensor]:
    """Of each mean the weighted sum of its tokens' values, and of their weights."""
    parts: list[tuple[Tensor, Tensor]] = []
    for objective, (where, terms) in chosen.items():
        where = None if where is None else where.to(rows.targets.device)
        tokens = _tokens(one, rows, where, terms)
        values = objective(student.at(where), tokens, taught.get(objective, ()))
        parts.append(tokens.sums(values.values, values.weights))
    sums, weights = zip(*parts, strict=True)
    return torch.stack(sums).sum(0), torch.stack(weights).sum(0)


def _tokens(one: _Pass, rows: Rows, where: Tensor | None, terms: Tensor) -> Tokens:
    """What one objective is asked about."""
    device = rows.targets.device
    chosen = slice(None) if where is None else where.to(device)
    samples = tuple(term.by_sample for _, term in one.terms)
    return Tokens(rows.targets[chosen], terms.to(device), rows.examples[chosen], samples)


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
            job = found[terms[number][0]]
            job.surprise = max(told[number], job.surprise or 0.0)
