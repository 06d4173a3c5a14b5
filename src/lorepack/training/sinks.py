"""Where the values of every step may go besides train.jsonl: wandb, trackio, tensorboard.

Thin and optional: a library is imported when it is asked for, and one that fails while training
runs is left alone with one remark.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from lorepack.errors import InputError, suggest

Values = Mapping[str, float]


class Sink(Protocol):
    """Takes the values of jobs."""

    def log(self, job: str, step: int, values: Values) -> None:
        """Values of one step of one job, steps from 1; after a resume some may come again."""

    def close(self) -> None:
        """All is told."""


class Runs:
    """wandb and trackio, which speak alike: a run for each job, the jobs of a folder one group.

    Args:
        library: the module.
        project: that the runs belong to.
        options: further arguments of its ``init``.
    """

    def __init__(self, library: ModuleType, project: str, **options: Any) -> None:
        self.library, self.project, self.options = library, project, options
        self.runs: dict[str, Any] = {}

    def log(self, job: str, step: int, values: Values) -> None:
        """See `Sink`."""
        if job not in self.runs:
            self.runs[job] = self.library.init(project=self.project, name=job, **self.options)
        self.runs[job].log(dict(values), step=step)

    def close(self) -> None:
        """See `Sink`."""
        for run in self.runs.values():
            run.finish()
        self.runs.clear()


class Boards:
    """tensorboard: a folder of events for each job.

    Args:
        library: ``torch.utils.tensorboard``.
        folder: that the jobs' folders are made in.
    """

    def __init__(self, library: ModuleType, folder: Path) -> None:
        self.library, self.folder = library, folder
        self.writers: dict[str, Any] = {}

    def log(self, job: str, step: int, values: Values) -> None:
        """See `Sink`."""
        if job not in self.writers:
            place = self.folder / job.strip("/").replace("/", "-")
            # What was told after this step belongs to a try that was cut off.
            self.writers[job] = self.library.SummaryWriter(log_dir=str(place), purge_step=step)
        for key, value in values.items():
            self.writers[job].add_scalar(key, value, step)

    def close(self) -> None:
        """See `Sink`."""
        for writer in self.writers.values():
            writer.close()
        self.writers.clear()


def _wandb(project: str, folder: Path) -> Sink:
    # "create_new" lets the runs of many jobs stand side by side in one process.
    return Runs(_library("wandb", "wandb"), project, reinit="create_new", dir=str(folder))


def _trackio(project: str, folder: Path) -> Sink:
    return Runs(_library("trackio", "trackio"), project, resume="allow")


def _tensorboard(project: str, folder: Path) -> Sink:
    return Boards(_library("tensorboard", "torch.utils.tensorboard"), folder / "tensorboard")


SINKS: dict[str, Callable[[str, Path], Sink]] = {
    "tensorboard": _tensorboard,
    "trackio": _trackio,
    "wandb": _wandb,
}
"""what ``--log-to`` can name"""


def named(name: str, *, project: str, folder: Path | str) -> Sink:
    """A sink by its name.

    Args:
        name: a key of `SINKS`.
        project: that runs belong to, where the library has projects.
        folder: for libraries that write files.

    Raises:
        InputError: no such sink, or its library is not installed.
    """
    if name not in SINKS:
        raise InputError(f"log to {name!r}: no such place{suggest(name, SINKS)}")
    return SINKS[name](project, Path(folder))


def _library(package: str, module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"logging to {package} needs its library ({error}); pip install {package}"
        ) from None


class Guarded:
    """A sink that cannot stop training: after its first failure it is left alone.

    Args:
        sink: any.
        note: told of the failure, once.
    """

    def __init__(self, sink: Sink, note: Callable[[str], None]) -> None:
        self.sink, self.note, self.broken = sink, note, False

    def log(self, job: str, step: int, values: Values) -> None:
        """See `Sink`."""
        self._try(lambda: self.sink.log(job, step, values))

    def close(self) -> None:
        """See `Sink`."""
        self._try(self.sink.close)

    def _try(self, action: Callable[[], None]) -> None:
        if self.broken:
            return
        try:
            action()
        except Exception as error:  # of a foreign library: anything
            self.broken = True
            why = " ".join(f"{type(error).__name__}: {error}".split())
            kind = type(self.sink).__name__
            self.note(f"{kind}: logging failed and is off from here on ({why}); training goes on")
