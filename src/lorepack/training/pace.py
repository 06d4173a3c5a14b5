"""When the next checkpoint is due by the clock, and when it would cost too large a share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHARE = 0.1
"""of the time that checkpoints may take"""
SHORT = 1.0
"""seconds; a checkpoint that takes less is never put off"""


class Pace:
    """Watches the clock between checkpoints.

    Args:
        minutes: most of them between two checkpoints; None does not ask the clock.
        clock: seconds that go on steadily.
    """

    def __init__(self, minutes: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = None if minutes is None else 60 * minutes
        self.clock = clock
        self.last = clock()
        self.cost = 0.0
        """seconds that the last checkpoint took"""

    @property
    def due(self) -> bool:
        """Whether it is time for one, whatever the steps say."""
        return self.seconds is not None and self.clock() - self.last >= self.seconds

    @property
    def affordable(self) -> bool:
        """Whether one more keeps all of them within their share of the time."""
        worked = self.clock() - self.last
        return self.cost < SHORT or worked >= self.cost * (1 - SHARE) / SHARE

    @contextmanager
    def saving(self) -> Iterator[None]:
        """The block writes a checkpoint."""
        start = self.clock()
        yield
        self.last = self.clock()
        self.cost = self.last - start
