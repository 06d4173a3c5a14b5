"""How every job stands while training runs: for a table that somebody looks at."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

SHOWN_EVERY = 0.25
"""seconds"""
SMOOTH = 0.9
"""weight of what was before, a step"""


@dataclass(frozen=True)
class Standing:
    """One job at one moment."""

    job: int
    """its place among the orders"""
    name: str
    state: Literal["waiting", "training", "done", "failed"]
    step: int
    """steps done"""
    total: int
    """steps in all; it may stop before"""
    loss: float | None
    """of the last step, nats a token; None before the first"""
    tokens_per_second: float | None
    """tokens of its examples that go through the model; None unless it is training"""
    seconds_left: float | None
    """at the pace of the last steps, stops aside; None unless it is training"""


Watch = Callable[[Sequence[Standing]], None]
"""called with all jobs, in the order of the orders, about four times a second"""


class Meter:
    """Seconds of a step of the stack, smoothed, and when it is time to show something.

    Args:
        clock: seconds that go on steadily.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.begun = clock()
        self.shown: float | None = None
        self.seconds: float | None = None
        """that a step takes"""

    def begin(self) -> None:
        """A step begins: what was done since the last one is not its."""
        self.begun = self.clock()

    def end(self) -> None:
        """The step ends."""
        took = self.clock() - self.begun
        before = took if self.seconds is None else self.seconds
        self.seconds = SMOOTH * before + (1 - SMOOTH) * took

    def time_to_show(self, last: bool = False) -> bool:
        """Whether to show something now; the last is always shown."""
        now = self.clock()
        if not last and self.shown is not None and now - self.shown < SHOWN_EVERY:
            return False
        self.shown = now
        return True
