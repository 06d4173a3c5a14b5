"""Whole files or none: atomic writes, hashes, and manifests that say a folder is complete.

A file is written to a sibling with a deterministic name, fsynced, and renamed over its target, so
a reader sees the old file or the new one and a crash leaves at most one stale sibling, which the
next write replaces.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from lorepack.errors import InputError, LorepackError, MismatchError, NotFoundError, WriteError

MANIFEST = "manifest.json"


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Give a sibling path to write to; rename it over ``path`` when the block ends well.

    Args:
        path: the final file. Its folder is made when missing.

    Yields:
        The path of the sibling, for writers that open files themselves.

    Raises:
        WriteError: no space, no permission, the folder is a file, or ``path`` is a device.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    if path.exists() and not path.is_file():
        # Renaming over /dev/null or a pipe would take it away from everybody else.
        raise WriteError(f"cannot write {path}: it exists and is not an ordinary file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with open(partial, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        if isinstance(error, LorepackError):
            raise  # of what the block read, or of a nested write: it says more than we could
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write ``data`` to ``path``, whole or not at all."""
    with atomic(path) as partial:
        partial.write_bytes(data)


def write_text(path: Path | str, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def to_json(value: Any) -> str:
    """``value`` as JSON with sorted keys and a closing newline: equal values, equal bytes."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as sorted, indented JSON, whole or not at all."""
    write_text(path, to_json(value))


def write_lines(path: Path | str, lines: Iterable[str]) -> int:
    """Stream ``lines`` (without newlines) to ``path``; returns how many were written."""
    count = 0
    with atomic(path) as partial, open(partial, "w", encoding="utf-8", newline="\n") as handle:
        for line in lines:
            handle.write(line + "\n")
            count += 1
    return count


@contextlib.contextmanager
def open_lines(path: Path | str) -> Iterator[IO[str]]:
    """A text file that is written as things come: it is there when the block ends well.

    Args:
        path: the final file; half a surrogate pair, which no UTF-8 can hold, becomes ``?``.

    Yields:
        The open file, for whole lines with their newlines.

    Raises:
        WriteError: as `atomic`.
    """
    with (
        atomic(path) as partial,
        open(partial, "w", encoding="utf-8", errors="replace", newline="\n") as handle,
    ):
        yield handle


def read_json(path: Path | str) -> Any:
    """The JSON value in ``path``.

    Raises:
        NotFoundError: there is no such file.
        InputError: the file is not JSON (says where it breaks), or cannot be read.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"no such file: {path}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from error


def timing_of(folder: Path | str, stage: str) -> dict[str, Any]:
    """What ``timing.json`` keeps of a stage; empty when it was lost: nothing depends on it."""
    try:
        return dict(read_json(Path(folder) / "timing.json")[stage])
    except (LorepackError, KeyError, TypeError, ValueError):
        return {}


def sha256_of(path: Path | str) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def hash_of(value: Any) -> str:
    """The SHA-256 of a JSON value, in hexadecimal; key order does not matter."""
    return hashlib.sha256(to_json(value).encode()).hexdigest()


def write_manifest(folder: Path | str, inputs: str, names: Iterable[str]) -> None:
    """State that ``folder`` is complete: called last, after all its files are written.

    Args:
        folder: a stage's output.
        inputs: hash of everything the stage depends on.
        names: the files that the stage wrote, relative to the folder.
    """
    folder = Path(folder)
    listed = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
        for name in sorted(names)
    }
    write_json(folder / MANIFEST, {"schema": 1, "inputs": inputs, "files": listed})


def is_complete(folder: Path | str, inputs: str) -> bool:
    """Whether ``folder`` holds, unharmed, the finished results of exactly these ``inputs``."""
    folder = Path(folder)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return manifest["inputs"] == inputs and all(
            (folder / name).stat().st_size == entry["bytes"]
            and sha256_of(folder / name) == entry["sha256"]
            for name, entry in manifest["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def make_room(
    folder: Path | str, inputs: str, held: Callable[[], str], *, overwrite: bool = False
) -> None:
    """Take away the manifest of ``folder``, unless somebody may still need what it vouches for.

    Args:
        folder: where a stage is about to write.
        inputs: hash of what the stage depends on now.
        held: says what the folder holds instead, for the error.
        overwrite: replace the finished results of other inputs.

    Raises:
        MismatchError: the folder holds the finished results of other inputs.
    """
    manifest = Path(folder) / MANIFEST
    if not manifest.is_file():
        return
    try:
        old = read_json(manifest)["inputs"]
    except (InputError, KeyError, TypeError):
        old = inputs  # damaged: it vouches for nothing
    if old != inputs and not overwrite:
        raise MismatchError(f"{folder} holds {held()}; give another folder, or remove this one")
    manifest.unlink()
