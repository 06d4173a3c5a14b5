"""A run: one folder that says what was asked, holds every stage's results, and resumes."""

from __future__ import annotations

import contextlib
import json
import platform
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lorepack import files, folders
from lorepack.errors import MismatchError, NotFoundError
from lorepack.facts import Fact

SCHEMA = 1
RUN, JOBS, JOB, GRID = "run.json", "jobs.json", "job.json", "grid.json"
KINDS = {
    RUN: "a run of `lorepack pack`",
    JOBS: "the jobs of `lorepack train`",
    JOB: "one job of `lorepack train`",
    GRID: "a grid of `lorepack pack --grid`",
}
"""what a folder of results is, by the file that describes it"""
PACKAGES = ("lorepack", "numpy", "pyarrow", "safetensors", "tokenizers", "torch", "transformers")


class Run:
    """The folder of one run, opened for writing by one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Paths only; `open_run` makes and locks the folder."""
        self.folder = folder
        self.probe = folder / "probe"
        self.mix = folder / "mix"
        self.training = folder / "training"
        self.adapter = folder / "adapter"
        self.audit = folder / "audit"
        self.budget = folder / "budget"
        self.unchosen = self.training / "adapter"  # as trained, before a budget weakens it
        self.facts = folder / "facts.jsonl"
        self.neutral = folder / "neutral.jsonl"
        self.report = folder / "report.html"

    def describe(self) -> dict[str, Any]:
        """What ``run.json`` says.

        Raises:
            NotFoundError: the folder is not a run.
        """
        path = self.folder / "run.json"
        if not path.is_file():
            raise NotFoundError(f"{self.folder} is not a run: it has no run.json")
        return files.read_json(path)

    def begin(
        self, described: dict[str, Any], facts: Sequence[Fact], neutral: Sequence[str]
    ) -> None:
        """Write what the run starts from, or check that its folder says the same.

        Args:
            described: the content of ``run.json``.
            facts: kept in ``facts.jsonl``.
            neutral: texts, kept in ``neutral.jsonl``.

        Raises:
            MismatchError: the folder holds a run with other settings; names the first difference.
        """
        self.check(described)
        path = self.folder / RUN
        if not path.is_file() or files.read_json(path) != described:
            files.write_json(path, described)
        for path, rows in (
            (self.facts, (fact.to_json() for fact in facts)),
            (self.neutral, ({"text": text} for text in neutral)),
        ):
            if not path.is_file():
                files.write_lines(path, (json.dumps(row, ensure_ascii=False) for row in rows))

    def check(self, described: dict[str, Any]) -> None:
        """See that the folder holds no run with other settings.

        Raises:
            MismatchError: it does; names the first difference.
        """
        path = self.folder / RUN
        if path.is_file():
            self._refuse_other(files.read_json(path), described)

    def _refuse_other(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Keep to what was asked first; without an adapter, mix and recipe may still change.

        So an error in them ("asked 500 Unknown facts, the model has 36") does not cost the probe.
        """
        if not (self.training / files.MANIFEST).is_file():
            old, new = _without_training(old), _without_training(new)
        difference = first_difference(old, new)
        if difference:
            raise MismatchError(
                f"{self.folder} holds another run ({difference}); "
                "give another folder, or remove this one"
            )

    def neutral_text(self) -> list[str]:
        """The texts that KL and perplexity are measured on.

        Raises:
            NotFoundError: the run has none.
        """
        if not self.neutral.is_file():
            raise NotFoundError(f"{self.folder} lacks {self.neutral.name}; pack it again")
        with open(self.neutral, encoding="utf-8") as lines:
            return [json.loads(line)["text"] for line in lines]

    @contextlib.contextmanager
    def timed(self, stage: str, device: str) -> Iterator[None]:
        """Add the seconds of a block to ``timing.json``, whether or not it ends well."""
        start = time.monotonic()
        try:
            yield
        finally:
            timing = self.timing()
            seconds = timing.setdefault("seconds", {})
            seconds[stage] = round(seconds.get(stage, 0.0) + time.monotonic() - start, 3)
            timing.setdefault("started", datetime.now(UTC).isoformat(timespec="seconds"))
            timing["device"] = device
            timing["folder"] = str(self.folder.resolve())
            files.write_json(self.folder / "timing.json", timing)

    def timing(self) -> dict[str, Any]:
        """Seconds a stage, dates and paths: what is outside every hash."""
        path = self.folder / "timing.json"
        return files.read_json(path) if path.is_file() else {}


@contextlib.contextmanager
def open_run(folder: Path | str) -> Iterator[Run]:
    """Make ``folder`` where needed and hold it for the block.

    Raises:
        WriteError: it cannot be written, or is a file.
        InputError: it holds files of something else.
        MismatchError: another process writes to it now.
    """
    with folders.alone(folder, RUN):
        refuse_other_kind(Path(folder), RUN)
        yield Run(Path(folder))


def refuse_other_kind(folder: Path, own: str) -> None:
    """Refuse a folder that holds results of another kind.

    Args:
        folder: where results are about to be written.
        own: one of `KINDS`.

    Raises:
        MismatchError: it does.
    """
    for name, kind in KINDS.items():
        if name != own and (folder / name).is_file():
            raise MismatchError(f"{folder} holds {kind} ({name}); give another folder")


def _without_training(described: dict[str, Any]) -> dict[str, Any]:
    """What ``run.json`` says of model, facts and probe."""
    later = ("mix", "recipe", "epoch_curve", "budget")
    settings = {k: v for k, v in described.get("settings", {}).items() if k not in later}
    return {**described, "settings": settings}


def first_difference(old: Any, new: Any, where: str = "") -> str | None:
    """Name the first place where two JSON values differ, old value first; None if nowhere."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            place = f"{where}.{key}" if where else key
            found = first_difference(old.get(key), new.get(key), place)
            if found:
                return found
        return None
    return None if old == new else f"{where}: {old!r} there, {new!r} asked"


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide a run's bytes."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
