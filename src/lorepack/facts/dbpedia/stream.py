"""What stands between a dump and pyarrow: bytes that are always UTF-8, and Ctrl-C that is kept.

pyarrow calls back for each line that it cannot take apart. It decodes the line before, so one byte
that is no UTF-8 would end the dump; and it loses what is raised meanwhile, such as an interrupt.
"""

from __future__ import annotations

import codecs
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from lorepack.facts.packed import Salvaged

MARK = b"\x1a"
"""stands for a byte that is no UTF-8 (SUBSTITUTE, which no IRI may hold)"""
_HANDLER = "lorepack.mark"


def _marked(bad: UnicodeError) -> tuple[str, int]:
    assert isinstance(bad, UnicodeDecodeError)
    return MARK.decode() * (bad.end - bad.start), bad.end


codecs.register_error(_HANDLER, _marked)


class Mended(Salvaged):
    """A file that ends where it breaks, as UTF-8 of the same length."""

    def __init__(self, path: Path) -> None:
        """Open a file, unpacked by its name."""
        super().__init__(path)
        self._held = b""  # the beginning of a character that goes on in the next bytes
        self.marked = False
        """whether a `MARK` was among the bytes so far"""

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes or a few less; far less only at the end."""
        data = self._held + super().read(size - len(self._held))
        going = _unfinished(data) if len(data) == size else 0
        self._held = data[len(data) - going :]
        data = data[: len(data) - going] if going else data
        if not _is_utf8(data):
            data = data.decode("utf-8", _HANDLER).encode()
        self.marked = self.marked or MARK in data
        return data


def _unfinished(data: bytes) -> int:
    """How many bytes at the end begin a character that goes on behind them."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            return 0
        if byte >= 0xC0:
            return back if back < 2 + (byte >= 0xE0) + (byte >= 0xF0) else 0
    return 0


def _is_utf8(data: bytes) -> bool:
    """Tell it by pyarrow, which needs an eighth of the time that decoding takes."""
    import pyarrow as pa

    ends = memoryview(bytearray(4) + len(data).to_bytes(4, "little"))
    try:
        text = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(ends), pa.py_buffer(data)])
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


@contextlib.contextmanager
def held_interrupts() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back within code that would lose it.

    Yields:
        What lets an interrupt through that came meanwhile; so does the end.
    """
    before = signal.getsignal(signal.SIGINT)
    if not callable(before) or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    came: list[tuple[int, object]] = []

    def let_through() -> None:
        if came:
            number, frame = came[0]
            came.clear()
            before(number, frame)  # type: ignore[arg-type]

    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield let_through
    finally:
        signal.signal(signal.SIGINT, before)
        let_through()
