"""The engine: many jobs on one base in one stack, each trained as it would be alone.

A step of the stack is one step of every job in it: the base's products run once over the rows of
all, each row adds its own adapter's, and every job has its own loss, clip, rate and moments. A
job that ends makes room for the next one in the queue; the stack is then put together anew from
those that stay and those that come.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import torch

from lorepack.errors import LorepackError, NoMemoryError, Stopped, WriteError
from lorepack.lora import Decompositions
from lorepack.training import checkpoint, memory, planning
from lorepack.training.adamw import AdamW
from lorepack.training.allocator import kept_memory
from lorepack.training.checkpoint import State
from lorepack.training.course import Course
from lorepack.training.job import Base
from lorepack.training.listeners import Broadcast, Listeners
from lorepack.training.memory import PassTooLargeError, Short
from lorepack.training.pace import Pace
from lorepack.training.parking import optimizer_of, park, parked, unpark
from lorepack.training.passes import Member, backward
from lorepack.training.plan import Plan
from lorepack.training.result import TrainResult
from lorepack.training.rows import can_share
from lorepack.training.teacher import Teacher
from lorepack.training.threads import computing_with


class Engine:
    """Trains jobs together.

    Args:
        lm: a language model, whose weights are frozen.
        courses: the jobs, in the order in which they enter.
        inputs: a hash of each job; see `Job.inputs`.
        folder: where checkpoints lie while training runs.
        together: hash of all of them, which checkpoints belong to.
        slots: most adapters in the stack at once; None chooses.
        tokens: most tokens of one forward pass, but for a job's step, which is divided only
            where memory is short; None chooses.
        finished: jobs that are done; they stay out, unless a checkpoint counts on their company.
        minutes: most between two checkpoints; None keeps to the recipes' steps.
        listeners: who is told.
        sharing: processes that share the free memory.
    """

    def __init__(
        self,
        lm: Base,
        courses: Sequence[Course],
        inputs: Sequence[str],
        folder: Path,
        together: str,
        *,
        slots: int | None,
        tokens: int | None,
        finished: Collection[int],
        minutes: float | None,
        listeners: Listeners,
        sharing: int = 1,
    ) -> None:
        lm.model.requires_grad_(False).eval()
        self.lm, self.courses, self.inputs = lm, list(courses), list(inputs)
        self.folder, self.together = folder, together
        self.asked = (slots, tokens)
        self.sharing = sharing
        self.plan = Plan(slots or 1, tokens or 1)
        self.listeners = listeners
        self.broadcast = Broadcast(listeners, self.courses, self._warn)
        self.results: dict[int, TrainResult] = {}
        self.members: list[Member] = []
        self.over: dict[int, LorepackError | None] = dict.fromkeys(finished)
        self.queue = [n for n in range(len(self.courses)) if n not in self.over]
        self.parked = {n for n in self.queue if parked(self.courses[n], self.inputs[n])}
        self.tick = 0
        self.saved: int | None = None
        """the tick of the last checkpoint"""
        self.pace = Pace(minutes)
        self.threads = torch.get_num_threads()
        self.optimizer: AdamW | None = None
        self.decompositions = Decompositions(lm.model)
        self.teacher = Teacher(lm, [course.job for course in courses])

    def run(self) -> dict[int, TrainResult]:
        """Train all jobs that are not done; results by number. A failed job says why itself.

        Raises:
            Stopped: the listener asked for it; the state is kept.
            NoMemoryError: memory ran out where no smaller plan helps; the checkpoint is kept.
        """
        try:
            self._resume()
            with computing_with(self.threads), kept_memory(self.lm.device):
                self._steps()
            checkpoint.clear(self.folder)
            return self.results
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, LorepackError) or not memory.is_shortage(error):
                raise
            raise NoMemoryError(
                f"memory ran out outside a forward pass, with {len(self.members)} adapters in "
                f"the stack; lower slots, the same call then goes on from {self.folder}"
            ) from error
        finally:
            self.broadcast.close()
            for course in self.courses:
                course.close()

    def _resume(self) -> None:
        """Take up the newest checkpoint of these jobs, or start anew."""
        place = checkpoint.newest(self.folder, self.together)
        state = checkpoint.peek(place) if place else None
        if state is not None and not self._unharmed(state):
            state = None
        if place is None or state is None:
            if place is None and checkpoint.clear(self.folder):
                self._tell(
                    f"{self.folder} held a checkpoint of other jobs, or of these with other "
                    "settings: what was not finished begins anew"
                )
            checkpoint.clear(self.folder)
            self.plan, told = planning.choose(self.lm, self._waiting(), *self.asked, self.sharing)
            self._tell(told)
            return
        members = [self._member(number) for number in state.members]
        with computing_with(state.threads):
            self._compose(members)
        for member in members:
            member.course.resume(state.members[member.number])
        assert self.optimizer is not None
        checkpoint.restore(place, self.optimizer)
        self.tick = self.saved = state.tick
        self._take_up(state)
        if state.threads != self.threads:
            self._warn(
                f"resumed with the {state.threads} CPU threads that the job began with, "
                f"not {self.threads}, so that sums keep their order"
            )
            self.threads = state.threads

    def _unharmed(self, state: State) -> bool:
        for number, at in state.members.items():
            course = self.courses[number]
            changed = course.changed(at)
            if changed is not None:
                course.warnings.append(f"{changed} was changed: training starts from step 0")
                return False
        return True

    def _take_up(self, state: State) -> None:
        """Go on with the queue and the plan of a checkpoint, whatever came after it."""
        lost = [n for n, why in state.over.items() if why is None and n not in self.over]
        self.over = {n: why for n, why in state.over.items() if n not in lost}
        for number, error in self.over.items():
            self.courses[number].error = error
        inside = {*state.members, *state.over}
        self.queue = [n for n in range(len(self.courses)) if n not in inside] + lost
        self.parked &= state.parked
        self.plan, told = planning.kept(self.lm, state.plan, len(self.members), *self.asked)
        self._tell(told)
        while len(self.members) > self.plan.slots:
            self._send_back(len(self.members) - 1, first=True)

    def _steps(self) -> None:
        self.listeners.progress(self._done(), self._total())
        while True:
            # Also right after a resume: a kill while reliability was measured leaves it to do.
            self._end_epochs()
            if self._admit():
                continue  # who comes from where it was parked may have an epoch to measure
            inside = [member.number for member in self.members]
            self.broadcast.show(inside, self.over, last=not inside)
            if not inside:
                return
            if not self._step():
                continue
            self.tick += 1
            stop = self.listeners.stop()
            if stop or self._save_due():
                self._save()
            self.listeners.progress(self._done(), self._total())
            if stop:
                raise Stopped(f"stopped at step {self._done():,} of {self._total():,}")

    def _done(self) -> int:
        """Steps done, those of jobs that were done before among them."""
        earlier = {n for n, why in self.over.items() if why is None} - self.results.keys()
        return sum(
            course.job.total_steps if number in earlier else course.step
            for number, course in enumerate(self.courses)
        )

    def _total(self) -> int:
        return sum(course.job.total_steps for course in self.courses)

    def _waiting(self) -> list[Course]:
        return [self.courses[number] for number in self.queue]

    def _end_epochs(self) -> None:
        """Measure the epochs that just ended, and take out the jobs that are at their end."""
        ends = [self._at_end(slot, member.course) for slot, member in enumerate(self.members)]
        if not any(ends):
            return
        if self.saved is None and len(self.courses) > 1:
            self._save()  # those who stay go on from here with the same company, or not at all
        for slot, member in enumerate(self.members):
            if ends[slot]:
                self._part(slot, member)
        self._compose([m for m, end in zip(self.members, ends, strict=True) if not end])

    def _at_end(self, slot: int, course: Course) -> bool:
        if course.error is None and course.at_epoch:
            assert self.optimizer is not None
            known = len(course.epochs)
            try:
                with self.optimizer.stack.attached():
                    stop = course.end_epoch(self.lm, self.optimizer.stack, slot)
                if len(course.epochs) > known:
                    self.broadcast.end_epoch(course)
                return stop or course.done
            except WriteError:
                raise  # no job can go on without a disk
            except LorepackError as error:
                course.error = type(error)(f"adapter {course.adapter}: {error}")
        return course.error is not None or course.done

    def _part(self, slot: int, member: Member) -> None:
        """Take leave of a job that is done, or that failed."""
        assert self.optimizer is not None
        course, inputs = member.course, self.inputs[member.number]
        self.over[member.number] = course.error
        if course.error is None:
            spec, factors = self.optimizer.stack.plain(slot)
            size = self.optimizer.size(slot)
            self.results[member.number] = course.finish(self.lm, spec, factors, size, inputs)
        else:
            park(course, inputs, self.optimizer, slot)
            course.close()

    def _admit(self) -> bool:
        """Fill the free slots from the queue; whether somebody came."""
        while coming := self.queue[: max(0, self.plan.slots - len(self.members))]:
            try:
                self._compose([*self.members, *(self._member(number) for number in coming)])
            except (MemoryError, RuntimeError) as error:
                if not memory.is_shortage(error):
                    raise
            else:
                del self.queue[: len(coming)]
                self._begin(coming)
                return True
            memory.release(self.lm.device)
            self._no_room(len(coming))
        return False

    def _begin(self, coming: Sequence[int]) -> None:
        """Start the jobs that just came into the stack, or go on with them."""
        assert self.optimizer is not None
        first = len(self.members) - len(coming)
        for slot, number in enumerate(coming, first):
            course = self.courses[number]
            place = parked(course, self.inputs[number]) if number in self.parked else None
            self.parked.discard(number)
            if place is None:
                course.begin()
            else:
                unpark(course, place, self.optimizer, slot)

    def _no_room(self, coming: int) -> None:
        """So many more adapters did not fit in the stack."""
        slots = len(self.members) + coming // 2
        if slots:
            self.plan = planning.fewer(self.plan, slots)
            self._warn(f"memory ran out with {slots + coming - coming // 2} adapters: {slots} now")
            return
        number = self.queue.pop(0)
        course = self.courses[number]
        course.error = self.over[number] = NoMemoryError(
            f"adapter {course.adapter}: does not fit in memory beside the base; lower rank, or "
            f"target fewer modules"
        )

    def _member(self, number: int) -> Member:
        course = self.courses[number]
        texts = (*course.job.data.examples, *course.job.replay.examples)
        longest = max(len(example.ids) for example in texts)
        share = can_share(self.lm.model.config, longest)  # type: ignore[arg-type]
        return Member(number, course, share)

    def _compose(self, members: list[Member]) -> None:
        """Put the stack together anew: who stays keeps factors, moments and count of steps."""
        made, before = None, {m.number: slot for slot, m in enumerate(self.members)}
        if members:
            if self.optimizer is not None:
                self.optimizer.zero_grad()  # two stacks stand side by side for a moment
            courses = [member.course for member in members]
            made = optimizer_of(self.lm.model, courses, self.decompositions)
            for slot, member in enumerate(members):
                if self.optimizer is not None and member.number in before:
                    made.take(slot, self.optimizer, before[member.number])
        self.members, self.optimizer = members, made

    def _step(self) -> bool:
        """One step of every job in the stack; False where memory was short and none was done."""
        assert self.optimizer is not None
        courses = [member.course for member in self.members]
        optimizer, stack = self.optimizer, self.optimizer.stack
        self.broadcast.begin_step([member.number for member in self.members])
        stack.set_step([course.step for course in courses])
        optimizer.zero_grad()
        short: Short | None = None
        try:
            with stack.attached():
                losses = backward(
                    self.lm, stack, self.members, self.teacher, self.plan.tokens, self.plan.divide
                )
        except PassTooLargeError as error:
            short = error.short  # and let go of what the pass holds
        if short is not None:
            self._relieve(short)
            return False
        norms = optimizer.clip([course.job.recipe.clip for course in courses])
        lrs: list[float | None] = []
        for course, loss, norm in zip(courses, losses, norms, strict=True):
            course.error = course.broken(loss.means, norm)
            lrs.append(None if course.error else course.job.lr_at(course.step))
        optimizer.step(lrs)
        told: dict[int, dict[str, float]] = {}
        for slot, (member, lr) in enumerate(zip(self.members, lrs, strict=True)):
            if lr is not None:
                loss, norm = losses[slot], norms[slot]
                member.course.note(loss.means, loss.tokens, norm, lr, loss.surprise)
                told[member.number] = {
                    "grad_norm": norm,
                    **loss.means,
                    "lr": lr,
                    "tokens": loss.tokens,
                }
        self.broadcast.end_step(told)
        return True

    def _relieve(self, short: Short) -> None:
        """Cut the work smaller: fewer tokens a pass, then fewer adapters; then give a job up."""
        assert self.optimizer is not None
        self.optimizer.zero_grad()
        memory.release(self.lm.device)
        had = f"memory ran out in a pass of {short.tokens:,} tokens at step {self.tick + 1}"
        if short.rows > 1:
            self.plan = planning.smaller(self.plan, short)
            self._warn(f"{had}: {self.plan.tokens:,} tokens a pass from there on")
            return
        (slot,) = short.jobs
        course = self.members[slot].course
        if len(self.members) > 1:
            self.plan = planning.fewer(self.plan, len(self.members) - 1)
            self._warn(
                f"{had}, one row of adapter {course.adapter}: it is put off, "
                f"and {self.plan.slots} adapters are trained at once from there on"
            )
            self._send_back(slot)
            return
        course.error = NoMemoryError(
            f"adapter {course.adapter}: step {course.step + 1} does not fit in memory, cut to a "
            f"pass of one row of {short.tokens:,} tokens and alone in the stack; lower max_length "
            f"(overlong=cut or drop) or rank, or free memory: the same call goes on from there"
        )

    def _send_back(self, slot: int, first: bool = False) -> None:
        """Take a job out of the stack and put it back in the queue, with what it has learned."""
        assert self.optimizer is not None
        member = self.members[slot]
        if park(member.course, self.inputs[member.number], self.optimizer, slot):
            self.parked.add(member.number)
        member.course.close()
        self.queue.insert(0 if first else len(self.queue), member.number)
        self._compose([m for m in self.members if m is not member])

    def _tell(self, text: str | None) -> None:
        if text:
            self.listeners.note(text)

    def _warn(self, text: str) -> None:
        """A remark that belongs in the result of every job of the stack."""
        self._tell(text)
        for member in self.members:
            member.course.warnings.append(text)

    def _save_due(self) -> bool:
        members = [m.course for m in self.members if m.course.error is None]
        every = min((m.job.recipe.checkpoint_every for m in members), default=self.tick + 1)
        # What a measurement takes minutes for is not trained twice.
        measured = any(m.at_epoch and (m.measures or len(self.courses) == 1) for m in members)
        return (self.tick % every == 0 or measured or self.pace.due) and self.pace.affordable

    def _save(self) -> None:
        """Keep the state of the whole stack as it stands after this tick; only reads it."""
        if self.saved == self.tick:
            return
        assert self.optimizer is not None
        progress = {member.number: member.course.progress() for member in self.members}
        state = State(
            self.tick,
            progress,
            torch.get_num_threads(),
            self.plan,
            self.over,
            frozenset(self.parked),
        )
        with self.pace.saving():
            checkpoint.save(self.folder, self.together, self.optimizer, state)
        self.saved = self.tick
