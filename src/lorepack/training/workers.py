"""Several processes of one thread each, every one with a stack of its own.

On a processor two stacks on one thread each do more than one stack on two: what surrounds the
matrix products gains little from a second thread. Each process has its part of the jobs, its own
checkpoints, and ends with the bytes that the same part would give in one process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lorepack import forks
from lorepack.forks import Hear, Tell, Work, possible, shares

__all__ = ["Hear", "Tell", "Work", "possible", "run", "shares"]

_LOST = (
    "a training process was ended {how}, perhaps for want of memory; train fewer jobs at once "
    "(slots), the same call goes on from the last checkpoint"
)


def run(count: int, work: Work, hear: Hear, stop: Callable[[], bool]) -> list[Any]:
    """`forks.run` for training."""
    return forks.run(count, work, hear, stop, lost=_LOST)
