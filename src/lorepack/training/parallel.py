"""Carries jobs out: in this process, or parted among several, each with a stack of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lorepack import files
from lorepack.errors import InputError, LorepackError, Stopped
from lorepack.training import checkpoint, workers
from lorepack.training.course import Course
from lorepack.training.engine import Engine
from lorepack.training.job import Base
from lorepack.training.listeners import Listeners
from lorepack.training.live import Standing
from lorepack.training.result import TrainResult
from lorepack.training.sinks import Guarded

PARTS = "parts.json"
WORTH = 50_000
"""tokens to train, over all jobs, from which on more processes end sooner than one"""

Outcome = TrainResult | LorepackError


@dataclass(frozen=True)
class Work:
    """The jobs of one call and how they are to be trained; see `train_many`."""

    lm: Base
    courses: Sequence[Course]
    inputs: Sequence[str]
    folder: Path
    slots: int | None
    tokens: int | None
    minutes: float | None

    @property
    def together(self) -> str:
        """Hash of all jobs."""
        return files.hash_of({"jobs": list(self.inputs)})

    def part(self, numbers: Sequence[int], folder: Path, slots: int | None) -> Work:
        """Some of the jobs."""
        return replace(
            self,
            courses=[self.courses[number] for number in numbers],
            inputs=[self.inputs[number] for number in numbers],
            folder=folder,
            slots=slots,
        )

    def engine(self, done: Collection[int], listeners: Listeners, sharing: int) -> Engine:
        """What trains those that are not ``done``."""
        return Engine(
            self.lm,
            self.courses,
            self.inputs,
            self.folder,
            self.together,
            slots=self.slots,
            tokens=self.tokens,
            finished=done,
            minutes=self.minutes,
            listeners=listeners,
            sharing=sharing,
        )


def carry_out(
    work: Work, done: Collection[int], count: int | None, listeners: Listeners
) -> dict[int, Outcome]:
    """Train the jobs that are not done, in as many processes as is best.

    Which job is whose is kept beside the checkpoints, so that who resumes parts them alike.

    Args:
        work: the jobs.
        done: numbers of those that are finished.
        count: of processes; None chooses.
        listeners: who is told.

    Returns:
        Results by number; a job that failed says why itself, or in its place here.
    """
    parts = _parts(work, count, listeners)
    if len(parts) == 1:
        return dict(work.engine(done, listeners, 1).run())
    slots = None if work.slots is None else max(1, work.slots // len(parts))
    ears = _Ears(parts, work.courses, listeners)

    def train(worker: int, tell: workers.Tell, asked: Any) -> list[tuple[int, Outcome]]:
        mine = parts[worker]
        told = Listeners(
            progress=lambda *tick: tell(("progress", tick)),
            note=lambda text: tell(("note", text)),
            stop=asked,
            watch=(lambda jobs: tell(("watch", jobs))) if listeners.watch else None,
            sinks=[_Relay(tell)] if listeners.sinks else (),
        )
        here = work.part(mine, work.folder / f"part-{worker:02d}", slots)
        finished = frozenset(place for place, number in enumerate(mine) if number in done)
        found: dict[int, Outcome] = {**here.engine(finished, told, len(parts)).run()}
        found |= {n: course.error for n, course in enumerate(here.courses) if course.error}
        return [(mine[place], outcome) for place, outcome in found.items()]

    try:
        outcomes = workers.run(len(parts), train, ears.hear, listeners.stop)
    except Stopped:
        done_steps, total = ears.steps()
        raise Stopped(f"stopped at step {done_steps:,} of {total:,}") from None
    finally:
        ears.close()
    _forget(work.folder)
    return dict(pair for outcome in outcomes for pair in outcome)


def _parts(work: Work, count: int | None, listeners: Listeners) -> list[list[int]]:
    """The numbers of each process's jobs."""
    place = work.folder / PARTS
    if place.is_file():
        parts = _kept(place, work)
        if parts is not None and workers.possible(work.lm.device):
            if count not in (None, len(parts)):
                listeners.note(f"goes on in {len(parts)} processes, as it began, not {count}")
            return parts
        listeners.note(
            f"{work.folder} held the parts of other jobs, or of these with other settings: what "
            "was not finished begins anew"
        )
        _forget(work.folder)
    whole = [list(range(len(work.courses)))]
    if not workers.possible(work.lm.device) or checkpoint.newest(work.folder, work.together):
        return whole
    threads = torch.get_num_threads()
    costs = [course.job.total_steps * course.step_tokens() for course in work.courses]
    if count is None and (sum(costs) < WORTH or len(costs) < threads):
        return whole  # a process has one thread: fewer jobs than threads leave some idle
    count = count or threads
    parts = workers.shares(costs, min(count, len(costs), work.slots or count))
    if len(parts) > 1:
        files.write_json(place, {"schema": 1, "jobs": work.together, "parts": parts})
    return parts


def _kept(place: Path, work: Work) -> list[list[int]] | None:
    """The parts that these jobs were begun in; None where they are others'."""
    try:
        kept = files.read_json(place)
        parts: list[list[int]] = kept["parts"]
        return parts if kept["jobs"] == work.together else None
    except (InputError, KeyError, TypeError) as error:
        raise InputError(
            f"{place} is damaged ({error}); remove {work.folder} to begin unfinished jobs anew"
        ) from error


def _forget(folder: Path) -> None:
    """Remove what is kept of parts, their checkpoints among it."""
    for part in sorted(folder.glob("part-*")):
        checkpoint.clear(part)
    (folder / PARTS).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


class _Relay:
    """Sends a step's values to the process that has the sinks."""

    def __init__(self, tell: workers.Tell) -> None:
        self.tell = tell

    def log(self, job: str, step: int, values: Mapping[str, float]) -> None:
        """Of one job."""
        self.tell(("sink", (job, step, dict(values))))

    def close(self) -> None:
        """The sinks are closed where they are."""


class _Ears:
    """Puts together what the processes tell."""

    def __init__(
        self, parts: Sequence[Sequence[int]], courses: Sequence[Course], listeners: Listeners
    ) -> None:
        self.parts, self.listeners = parts, listeners
        self.ticks: list[tuple[int, int]] = [(0, 0)] * len(parts)
        self.sinks = [Guarded(sink, listeners.note) for sink in listeners.sinks]
        self.standings = [
            Standing(n, course.name, "waiting", 0, course.job.total_steps, None, None, None)
            for n, course in enumerate(courses)
        ]

    def hear(self, worker: int, message: tuple[str, Any]) -> None:
        """Pass on one message."""
        kind, value = message
        if kind == "progress":
            self.ticks[worker] = value
            if all(total for _, total in self.ticks):
                self.listeners.progress(*self.steps())
        elif kind == "note":
            self.listeners.note(f"process {worker + 1} of {len(self.parts)}: {value}")
        elif kind == "sink":
            for sink in self.sinks:
                sink.log(*value)
        elif self.listeners.watch is not None:
            for standing in value:
                number = self.parts[worker][standing.job]
                self.standings[number] = replace(standing, job=number)
            self.listeners.watch(self.standings)

    def steps(self) -> tuple[int, int]:
        """Steps done and in all, of all processes."""
        return sum(done for done, _ in self.ticks), sum(total for _, total in self.ticks)

    def close(self) -> None:
        """All is told."""
        for sink in self.sinks:
            sink.close()
