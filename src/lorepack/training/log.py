"""train.jsonl: one object a step, cut back to the checkpoint when a job resumes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from lorepack.errors import WriteError


class StepLog:
    """Appends one JSON line a step and knows the length and hash of what it has written.

    Args:
        path: the file; its folder is made when missing.
        keep: bytes to keep of what is there; what follows is cut off.

    Raises:
        WriteError: no space, no permission.
    """

    def __init__(self, path: Path, keep: int = 0) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "r+b" if keep else "w+b")  # noqa: SIM115, closed in close()
            self._hash = hashlib.sha256(self._file.read(keep))
            self._file.truncate(keep)
            self._file.seek(keep)
        except OSError as error:
            raise WriteError(f"cannot write {path}: {error.strerror or error}") from error
        self.bytes = keep

    @property
    def sha256(self) -> str:
        """The hash of all lines so far."""
        return self._hash.hexdigest()

    def add(self, row: dict[str, Any]) -> None:
        """Append one line."""
        line = (json.dumps(row, sort_keys=True, allow_nan=False) + "\n").encode()
        try:
            self._file.write(line)
        except OSError as error:
            raise WriteError(f"cannot write {self.path}: {error.strerror or error}") from error
        self._hash.update(line)
        self.bytes += len(line)

    def sync(self) -> None:
        """Bring all lines to the disk: before a checkpoint counts on them."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise WriteError(f"cannot write {self.path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file, leaving no error behind that would hide an earlier one."""
        try:
            self._file.close()
        except OSError as error:
            raise WriteError(f"cannot write {self.path}: {error.strerror or error}") from error


def begins_with(path: Path, size: int, sha256: str) -> bool:
    """Whether the first ``size`` bytes of a file are those that a checkpoint counts on."""
    try:
        with open(path, "rb") as file:
            head = file.read(size)
    except OSError:
        return size == 0
    return len(head) == size and hashlib.sha256(head).hexdigest() == sha256
