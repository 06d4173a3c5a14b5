"""A run: one folder that says what was asked, holds every stage's results, and resumes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import platform
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from lorepack import files
from lorepack.errors import InputError, MismatchError, NotFoundError, WriteError
from lorepack.facts import Fact

SCHEMA = 1
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

    def begin(self, described: dict[str, Any], facts: Sequence[Fact]) -> None:
        """Write ``run.json`` and ``facts.jsonl``, or check that they say the same.

        Raises:
            MismatchError: the folder holds a run with other settings; names the first difference.
        """
        path = self.folder / "run.json"
        if path.is_file():
            difference = first_difference(files.read_json(path), described)
            if difference:
                raise MismatchError(
                    f"{self.folder} holds another run ({difference}); "
                    "give another folder, or remove this one"
                )
        else:
            files.write_json(path, described)
        lines = (json.dumps(fact.to_json(), ensure_ascii=False) for fact in facts)
        if not (self.folder / "facts.jsonl").is_file():
            files.write_lines(self.folder / "facts.jsonl", lines)

    @contextlib.contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the seconds of a block to ``timing.json``, whether or not it ends well."""
        start = time.monotonic()
        try:
            yield
        finally:
            timing = self.timing()
            seconds = timing.setdefault("seconds", {})
            seconds[stage] = round(seconds.get(stage, 0.0) + time.monotonic() - start, 3)
            timing.setdefault("started", datetime.now(UTC).isoformat(timespec="seconds"))
            timing["folder"] = str(self.folder.resolve())
            files.write_json(self.folder / "timing.json", timing)

    def timing(self) -> dict[str, Any]:
        """Seconds a stage, dates and paths: what is outside every hash."""
        path = self.folder / "timing.json"
        return files.read_json(path) if path.is_file() else {}


@contextlib.contextmanager
def open_run(folder: Path | str) -> Iterator[Run]:
    """Make ``folder`` where needed and hold its lock for the block.

    Raises:
        WriteError: it cannot be written, or is a file.
        MismatchError: another process writes to it now.
    """
    folder = Path(folder)
    try:
        if folder.exists() and not folder.is_dir():
            raise WriteError(f"{folder} is a file; a run needs a folder")
        if not (folder / "run.json").exists() and folder.is_dir() and _foreign(folder):
            raise InputError(f"{folder} is not empty and not a run; give a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "w")  # noqa: SIM115 - held for the whole run
    except OSError as error:
        if isinstance(error, WriteError):
            raise
        raise WriteError(f"cannot write to {folder}: {error.strerror}") from error
    with lock:
        _take(lock, folder)
        yield Run(folder)


def _foreign(folder: Path) -> bool:
    """Whether a folder without ``run.json`` holds things that no killed run left there."""
    own = {"probe", "mix", "training", "adapter", "audit", "facts.jsonl", "timing.json"}
    return any(p.name not in own and not p.name.startswith(".") for p in folder.iterdir())


def _take(lock: IO[str], folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise MismatchError(f"another lorepack is writing to {folder}; wait for it") from None


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
