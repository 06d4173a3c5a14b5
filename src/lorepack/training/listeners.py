"""What the caller of a training is told while it runs, and what it may ask."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lorepack.errors import LorepackError
from lorepack.training.course import Course
from lorepack.training.live import Meter, Standing, Watch
from lorepack.training.sinks import Guarded, Sink

Tick = Callable[[int, int], None]
"""called with steps done and steps in all, summed over the jobs"""
Note = Callable[[str], None]
"""called with remarks of one line"""


def _silent(*_: object) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Listeners:
    """The caller's ears and its hand."""

    progress: Tick = _silent
    note: Note = _silent
    stop: Callable[[], bool] = _never
    """asked after every step: is the training to end there?"""
    watch: Watch | None = None
    sinks: Sequence[Sink] = ()


class Broadcast:
    """Tells how the jobs stand to whoever watches, and their values to the sinks.

    Args:
        listeners: of the training.
        courses: all jobs.
        warn: told of a sink that fails.
    """

    def __init__(self, listeners: Listeners, courses: Sequence[Course], warn: Note) -> None:
        self.watch = listeners.watch
        self.sinks = [Guarded(sink, warn) for sink in listeners.sinks]
        self.courses = courses
        self.meter = Meter()
        self.last: dict[int, tuple[float, int]] = {}
        """of a job's last step the loss, and the tokens of its examples"""

    def begin_step(self, inside: Collection[int]) -> None:
        """The jobs inside are about to take a step."""
        self.meter.begin()
        if self.watch is not None:
            self.sizes = {number: self.courses[number].step_tokens() for number in inside}

    def end_step(self, values: Mapping[int, Mapping[str, float]]) -> None:
        """The values of each job that took the step."""
        self.meter.end()
        for number, found in values.items():
            course = self.courses[number]
            if self.watch is not None:
                self.last[number] = (found["loss"], self.sizes[number])
            for sink in self.sinks:
                sink.log(course.name, course.step, found)

    def end_epoch(self, course: Course) -> None:
        """A job's epoch was measured."""
        found = course.epochs[-1]["reliability"]
        if found is not None:
            for sink in self.sinks:
                sink.log(course.name, course.step, {"reliability": found})

    def show(
        self,
        inside: Collection[int],
        over: Mapping[int, LorepackError | None],
        last: bool = False,
    ) -> None:
        """Let the watcher see all jobs, when it is time."""
        if self.watch is not None and self.meter.time_to_show(last):
            self.watch([self._standing(n, inside, over) for n in range(len(self.courses))])

    def _standing(
        self, number: int, inside: Collection[int], over: Mapping[int, LorepackError | None]
    ) -> Standing:
        course = self.courses[number]
        loss, tokens = self.last.get(number, (None, 0))
        state: Literal["waiting", "training", "done", "failed"] = "waiting"
        if number in over:
            state = "done" if over[number] is None else "failed"
        elif number in inside:
            state = "training"
        total = course.job.total_steps
        seconds = self.meter.seconds if state == "training" and loss is not None else None
        return Standing(
            job=number,
            name=course.name,
            state=state,
            step=total if state == "done" and not course.step else course.step,
            total=total,
            loss=loss,
            tokens_per_second=tokens / seconds if seconds else None,
            seconds_left=(total - course.step) * seconds if seconds is not None else None,
        )

    def close(self) -> None:
        """All is told."""
        for sink in self.sinks:
            sink.close()
