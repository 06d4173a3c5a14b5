"""What the caller of a training is told while it runs, and what it may ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Tick = Callable[[int, int], None]
"""called with steps done and steps in all, summed over the jobs"""
Note = Callable[[str], None]
"""called with remarks of one line"""


def _silent(*_: object) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Listeners:
    """The caller's ears and its hand."""

    progress: Tick = _silent
    note: Note = _silent
    stop: Callable[[], bool] = _never
    """asked after every step: is the training to end there?"""
