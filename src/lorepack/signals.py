"""SIGTERM: the process ends at the next safe point, with what is finished kept.

Only a process of ours takes the signal over (`heeded`, on the command line). Work that must not
be torn apart holds it and asks (`held`); in somebody else's process both change nothing.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lorepack.errors import Stopped


@dataclass
class _Term:
    """What has come of SIGTERM so far; the process has one."""

    asked: bool = False
    held: bool = False
    raised: bool = False

    def end(self) -> None:
        """Stop here, once: what cleans up afterwards is left in peace."""
        if not self.raised:
            self.raised = True
            raise Stopped("stopped by SIGTERM")


_TERM = _Term()


@contextmanager
def heeded() -> Iterator[None]:
    """Let SIGTERM end the block by `Stopped`: at once, or when work that holds it lets go.

    For the main thread of a process that is ours.
    """

    def handle(number: int, frame: object) -> None:
        _TERM.asked = True
        if not _TERM.held:
            _TERM.end()

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        _TERM.asked = _TERM.raised = False


@contextmanager
def held() -> Iterator[Callable[[], bool]]:
    """Hold SIGTERM during the block, which is given a question: has it come?

    Raises:
        Stopped: at the end of a block that did not stop for a signal that came.
    """
    before, _TERM.held = _TERM.held, True
    try:
        yield lambda: _TERM.asked
    finally:
        _TERM.held = before
    if _TERM.asked and not before:
        _TERM.end()


@contextmanager
def released() -> Iterator[None]:
    """Inside `held`, a block that may be torn apart, such as a measurement of minutes."""
    before, _TERM.held = _TERM.held, False
    try:
        if _TERM.asked:
            _TERM.end()
        yield
    finally:
        _TERM.held = before
