"""Freed memory stays with the process while training runs.

A step frees and asks again for the same hundreds of megabytes. By default glibc hands large blocks
back to the system at once, and every page of the next step is a fault to be served: a tenth of a
small model's step.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_DEFAULT_TRIM, _DEFAULT_MMAP = 128 * 1024, 128 * 1024


@contextmanager
def kept_memory(device: torch.device | str) -> Iterator[None]:
    """Keep freed memory for the block, on a processor with glibc; then give it back.

    Args:
        device: that computes.
    """
    glibc = sys.platform == "linux" and torch.device(device).type == "cpu"
    library = ctypes.CDLL(None) if glibc else None
    if library is None or not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, 1 << 30)
    library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        library.mallopt(_MMAP_THRESHOLD, _DEFAULT_MMAP)
        library.mallopt(_TRIM_THRESHOLD, _DEFAULT_TRIM)
        if hasattr(library, "malloc_trim"):
            library.malloc_trim(0)
