"""Memory: how much is free, and how it is told that there was not enough."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

_HOST = ("can't allocate memory", "cannot allocate memory", "not enough memory")
_DEVICE = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


@dataclass(frozen=True)
class Short:
    """A pass that did not fit."""

    jobs: frozenset[int]
    """slots of the jobs in it"""
    rows: int
    tokens: int


class PassTooLargeError(Exception):
    """Memory ran out in a pass; nothing of its step has been applied."""

    def __init__(self, short: Short) -> None:
        super().__init__(short)
        self.short = short


@contextmanager
def one_pass(short: Short) -> Iterator[None]:
    """Report memory that runs out in the block as that of this pass.

    Raises:
        PassTooLargeError: it did.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if is_shortage(error):
            raise PassTooLargeError(short) from None
        raise


def is_shortage(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a device or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(sign in text for sign in (*_HOST, *_DEVICE))


def release(device: torch.device | str) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()


def free_bytes(device: torch.device | str) -> int | None:
    """Bytes that can still be had on a device; None where the system does not tell."""
    device = torch.device(device)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch holds and does not use is as good as free.
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + held)
    known = [amount for amount in (_available(), *_left_to_groups()) if amount is not None]
    return max(0, min(known)) if known else None


def _available(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
        return next(1024 * int(x.split()[1]) for x in lines if x.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _left_to_groups(
    own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> Iterator[int]:
    """What each control group that this process is in may still take (cgroup v1 and v2)."""
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return
    for _, controllers, path in (line for line in lines if len(line) == 3):
        if controllers == "":
            home, limit, used = root, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            home, limit = root / "memory", "memory.limit_in_bytes"
            used = "memory.usage_in_bytes"
        else:
            continue
        # A container may see the path of the host: then only the root is there.
        place = Path(os.path.normpath(home / path.lstrip("/")))
        for folder in (place, *place.parents):
            if folder != home and home not in folder.parents:
                break
            left = _left(folder, limit, used)
            if left is not None:
                yield left


def _left(folder: Path, limit: str, used: str) -> int | None:
    try:
        most, now = int((folder / limit).read_text()), int((folder / used).read_text())
        counts = (folder / "memory.stat").read_text().split()
    except (OSError, ValueError):  # no such group, or no limit: "max"
        return None
    stat = dict(zip(counts[::2], counts[1::2], strict=False))
    cached = int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
    return most - now + cached  # pages of files give way
