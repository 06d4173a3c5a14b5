"""Compressed files: which there are, and their bytes, up to the place where one breaks off."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

PIECE = 1 << 16
"""bytes that are unpacked at once"""
_SMALL = 1 << 12  # of what loses the piece in which it breaks
BROKEN = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
"""what a compressed stream raises where it breaks, beside `OSError`"""


def _zstd(path: Path, mode: str) -> Any:
    import pyarrow as pa

    return pa.input_stream(str(path), compression="zstd")


_OPENERS: dict[str, Callable[[Path, str], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _zstd,
}
SUFFIXES = tuple(_OPENERS)
"""of the names of compressed files"""


def is_packed(path: Path) -> bool:
    """Whether a file is compressed, by its name."""
    return path.suffix.lower() in _OPENERS


def bare(name: str) -> str:
    """The name of a file in lower case, without the suffix of a compression."""
    name = name.lower()
    return next((name.removesuffix(s) for s in SUFFIXES if name.endswith(s)), name)


def opened(path: Path) -> IO[bytes]:
    """A file for reading bytes, unpacked by its name.

    What ``readline`` and ``read1`` give is all that comes before a break; then they raise one of
    `BROKEN`, or `OSError`.
    """
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        return open(path, "rb")
    most = _SMALL if opener is _zstd else PIECE
    return io.BufferedReader(_Unpacked(opener(path, "rb"), most), PIECE)


class _Unpacked(io.RawIOBase):
    """A decompressor that gives what it has, rather than wait for as much as was asked for."""

    def __init__(self, handle: Any, most: int) -> None:
        self._handle, self._most = handle, most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._handle.read1(min(len(buffer), self._most))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._handle.close()
        super().close()


class Salvaged:
    """A file that ends where it breaks, for readers that would throw away what came before."""

    def __init__(self, path: Path) -> None:
        """Open a file, unpacked by its name."""
        self._handle = opened(path)
        self.error: Exception | None = None
        """why it ended before its end"""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._handle.closed

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes; less at the end."""
        pieces: list[bytes] = []
        try:
            while size > 0 and (piece := self._handle.read1(size)):  # type: ignore[attr-defined]
                pieces.append(piece)
                size -= len(piece)
        except (*BROKEN, OSError) as error:
            self.error = error
        return b"".join(pieces)

    def close(self) -> None:
        """Close the file."""
        self._handle.close()
