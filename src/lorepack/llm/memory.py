"""Memory: how much is free, and how it is told that there was not enough."""

from __future__ import annotations

import resource
from pathlib import Path

import torch

_SIGNS = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def is_shortage(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a device or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


_sharers = [1]
"""processes that share the host's memory with this one, itself included"""


def shared_by(count: int) -> None:
    """This process is one of so many alike: each may count on its share of what is free."""
    _sharers[0] = count


def free_bytes(device: torch.device) -> int | None:
    """Bytes that can still be had on a device; None where the system does not tell."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        # What torch holds and does not use is as good as free.
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + held)
    known = [x for x in (_available(), _group(), _limit()) if x is not None]
    return max(0, min(known)) // _sharers[0] if known else None


def _available(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
        return next(1024 * int(x.split()[1]) for x in lines if x.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _group(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What the container may still take (cgroup v2, as a container sees its own)."""
    try:
        most = int((root / "memory.max").read_text())
        return most - int((root / "memory.current").read_text())
    except (OSError, ValueError):  # no group, or no limit
        return None


def _limit() -> int | None:
    """What the process's own limit of address space leaves."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return None
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return soft - pages * resource.getpagesize()
