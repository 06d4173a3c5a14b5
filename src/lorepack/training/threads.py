"""The number of CPU threads decides the order of sums: who resumes computes with as many."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Compute with so many threads during the block, then with as many as before."""
    before = torch.get_num_threads()
    try:
        if before != threads:
            torch.set_num_threads(threads)
        yield
    finally:
        if before != threads:
            torch.set_num_threads(before)
