"""The engine: many jobs on one base in one stack, each trained as it would be alone.

A step of the stack is one step of every job in it: the base's products run once over the rows of
all, each row adds its own adapter's, and every job has its own loss, clip, rate and moments. A
job that ends makes room for the next one in the queue; the stack is then put together anew from
those that stay and those that come.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from lorepack.errors import LorepackError, NumericError
from lorepack.lora import Stack
from lorepack.training import checkpoint
from lorepack.training.adamw import AdamW
from lorepack.training.checkpoint import State
from lorepack.training.course import Course
from lorepack.training.job import Base
from lorepack.training.passes import Member, backward
from lorepack.training.result import TrainResult
from lorepack.training.rows import can_share
from lorepack.training.teacher import Teacher

Tick = Callable[[int, int], None]
"""called with steps done and steps in all, summed over the jobs"""


class Engine:
    """Trains jobs together.

    Args:
        lm: a language model, whose weights are frozen.
        courses: the jobs, in the order in which they enter.
        inputs: a hash of each job; see `Job.inputs`.
        folder: where checkpoints lie while training runs.
        together: hash of all of them, which checkpoints belong to.
        slots: most adapters in the stack at once.
        tokens: most tokens of one forward pass, but for a job's step, which is never divided.
        finished: jobs that are done; they stay out, unless a checkpoint counts on their company.
    """

    def __init__(
        self,
        lm: Base,
        courses: Sequence[Course],
        inputs: Sequence[str],
        folder: Path,
        together: str,
        slots: int,
        tokens: int,
        finished: Collection[int],
    ) -> None:
        lm.model.requires_grad_(False).eval()
        self.lm, self.courses, self.inputs = lm, list(courses), list(inputs)
        self.folder, self.together = folder, together
        self.slots, self.tokens = slots, tokens
        self.results: dict[int, TrainResult] = {}
        self.members: list[Member] = []
        self.skipped = frozenset(finished)
        self.queue = [n for n in range(len(self.courses)) if n not in self.skipped]
        self.tick = 0
        self.threads = torch.get_num_threads()
        self.optimizer: AdamW | None = None
        self.teacher = Teacher(lm, [course.job for course in courses])

    def run(self, progress: Tick) -> dict[int, TrainResult]:
        """Train all jobs that are not done; results by number. A failed job says why itself."""
        try:
            self._resume()
            with self._computing():
                self._steps(progress)
            if not any(course.error for course in self.courses):
                checkpoint.clear(self.folder)
            return self.results
        finally:
            for course in self.courses:
                course.close()

    def _resume(self) -> None:
        """Take up the newest checkpoint of these jobs, or start anew."""
        place = checkpoint.newest(self.folder, self.together)
        state = checkpoint.peek(place) if place else None
        if place is None or state is None:
            checkpoint.clear(self.folder)
            return
        for number, at in state.members.items():
            course = self.courses[number]
            changed = course.changed(at)
            if changed is not None:
                course.warnings.append(f"{changed} was changed: training starts from step 0")
                checkpoint.clear(self.folder)
                return
        members = []
        for number, at in state.members.items():
            self.courses[number].resume(at)
            members.append(self._member(number))
        self.tick = state.tick
        self.queue = [n for n in self.queue if n not in state.members]
        self._compose(members)
        assert self.optimizer is not None
        checkpoint.restore(place, self.optimizer)
        if state.threads != self.threads:
            for member in members:
                member.course.warnings.append(
                    f"resumed with the {state.threads} CPU threads that the job began with, "
                    f"not {self.threads}, so that sums keep their order"
                )
            self.threads = state.threads

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Compute with the threads that the jobs began with."""
        before = torch.get_num_threads()
        try:
            if before != self.threads:
                torch.set_num_threads(self.threads)
            yield
        finally:
            if before != self.threads:
                torch.set_num_threads(before)

    def _steps(self, progress: Tick) -> None:
        progress(self._done(), self._total())
        while True:
            # Also right after a resume: a kill while reliability was measured leaves it to do.
            self._end_epochs()
            self._admit()
            if not self.members:
                return
            self._step()
            self.tick += 1
            if self._save_due():
                self._save()
            progress(self._done(), self._total())

    def _done(self) -> int:
        return sum(course.step for course in self._asked())

    def _total(self) -> int:
        return sum(course.job.total_steps for course in self._asked())

    def _asked(self) -> list[Course]:
        return [c for number, c in enumerate(self.courses) if number not in self.skipped]

    def _end_epochs(self) -> None:
        """Measure the epochs that just ended, and take out the jobs that are at their end."""
        stay: list[tuple[int, Member]] = []
        leave: list[tuple[int, Member]] = []
        for slot, member in enumerate(self.members):
            course = member.course
            stop = course.error is not None
            if not stop and course.at_epoch:
                assert self.optimizer is not None
                with self.optimizer.stack.attached():
                    stop = course.end_epoch(self.lm, self.optimizer.stack, slot)
            (leave if stop or course.done else stay).append((slot, member))
        for slot, member in leave:
            if member.course.error is None:
                assert self.optimizer is not None
                factors = self.optimizer.stack.factors(slot)
                inputs = self.inputs[member.number]
                self.results[member.number] = member.course.finish(self.lm, factors, inputs)
        if leave:
            self._compose([member for _, member in stay])

    def _admit(self) -> None:
        """Fill the free slots from the queue."""
        coming = self.queue[: max(0, self.slots - len(self.members))]
        if not coming:
            return
        del self.queue[: len(coming)]
        for number in coming:
            self.courses[number].begin()
        self._compose([*self.members, *(self._member(number) for number in coming)])

    def _member(self, number: int) -> Member:
        course = self.courses[number]
        texts = (*course.job.data.examples, *course.job.replay.examples)
        longest = max(len(example.ids) for example in texts)
        share = can_share(self.lm.model.config, longest)  # type: ignore[arg-type]
        return Member(number, course, share)

    def _compose(self, members: list[Member]) -> None:
        """Put the stack together anew: who stays keeps factors, moments and count of steps."""
        old, before = self.optimizer, {m.number: slot for slot, m in enumerate(self.members)}
        self.members, self.optimizer = members, None
        if not members:
            return
        jobs = [member.course.job for member in members]
        stack = Stack(self.lm.model, [job.spec for job in jobs], [job.seed for job in jobs])
        self.optimizer = AdamW(stack, [job.recipe.weight_decay for job in jobs])
        for slot, member in enumerate(members):
            if old is not None and member.number in before:
                self.optimizer.take(slot, old, before[member.number])

    def _step(self) -> None:
        """One step of every job in the stack."""
        assert self.optimizer is not None
        courses = [member.course for member in self.members]
        optimizer, stack = self.optimizer, self.optimizer.stack
        stack.set_step([course.step for course in courses])
        optimizer.zero_grad()
        with stack.attached():
            losses = backward(self.lm, stack, self.members, self.tokens, self.teacher)
        norms = optimizer.clip([course.job.recipe.clip for course in courses])
        lrs: list[float | None] = []
        for course, loss, norm in zip(courses, losses, norms, strict=True):
            course.error = self._broken(course, loss.means, norm)
            lrs.append(None if course.error else course.job.lr_at(course.step))
        optimizer.step(lrs)
        for course, loss, norm, lr in zip(courses, losses, norms, lrs, strict=True):
            if lr is not None:
                course.note(loss.means, loss.tokens, norm, lr, loss.surprise)

    def _broken(
        self, course: Course, means: Mapping[str, float], norm: float
    ) -> LorepackError | None:
        for what, value in (*means.items(), ("gradient norm", norm)):
            if not math.isfinite(value):
                return NumericError(
                    f"adapter {course.adapter}: {what} is {value} at step {course.step + 1} of "
                    f"{course.job.total_steps}; lower lr or check the base's weights "
                    f"(the last checkpoint is kept in {self.folder})"
                )
        return None

    def _save_due(self) -> bool:
        members = [m.course for m in self.members if m.course.error is None]
        every = min((m.job.recipe.checkpoint_every for m in members), default=self.tick + 1)
        if self.tick % every == 0:
            return True
        # What a measurement takes minutes for is not trained twice.
        return any(m.at_epoch and (m.measures or len(self.courses) == 1) for m in members)

    def _save(self) -> None:
        assert self.optimizer is not None
        progress = {member.number: member.course.progress() for member in self.members}
        state = State(self.tick, progress, torch.get_num_threads())
        checkpoint.save(self.folder, self.together, self.optimizer, state)
