"""Folders of results: one process writes to each, and never to a folder of somebody else."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from lorepack import files
from lorepack.errors import InputError, LorepackError, MismatchError, WriteError

LOCK = ".lorepack.lock"


@contextlib.contextmanager
def alone(folder: Path | str, described: str = files.MANIFEST) -> Iterator[None]:
    """Make ``folder`` where needed, and hold it for writing during the block.

    Args:
        folder: of results: new, empty (hidden files aside), or one that was held before.
        described: the file of ours that marks a folder which was copied without its lock.

    Raises:
        WriteError: it cannot be written, or is a file.
        InputError: it holds things that are not ours; they stay untouched.
        MismatchError: another process writes to it now.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise WriteError(f"{folder} is a file; results need a folder")
    try:
        if folder.is_dir() and not _ours(folder, described):
            raise InputError(f"{folder} holds files of something else; give a new folder")
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / LOCK, "w")  # noqa: SIM115 - held for the block
    except OSError as error:
        if isinstance(error, LorepackError):
            raise
        raise WriteError(f"cannot write to {folder}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MismatchError(f"another lorepack is writing to {folder}; wait for it") from None
        yield


def _ours(folder: Path, described: str) -> bool:
    if (folder / LOCK).is_file() or all(p.name.startswith(".") for p in folder.iterdir()):
        return True
    try:
        return "schema" in files.read_json(folder / described)
    except (LorepackError, TypeError):
        return False
