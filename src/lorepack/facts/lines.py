"""Lines of a text file, unpacked, with a bound on their length."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lorepack.errors import InputError
from lorepack.facts.packed import BROKEN, PIECE, is_packed, opened
from lorepack.facts.rows import RowError

LINE_LIMIT = 64 << 20
"""bytes; a longer line is an error, so that no file can fill the memory"""
SHOWN = 8_000
"""bytes of a broken line that are kept to show it"""

_FOREIGN = {
    b"\x1f\x8b": "gzip data; add .gz to its name",
    b"BZh": "bzip2 data; add .bz2 to its name",
    b"\xfd7zXZ\x00": "xz data; add .xz to its name",
    b"\x28\xb5\x2f\xfd": "Zstandard data; add .zst to its name",
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
    b"PAR1": "Parquet; name it .parquet",
    b"PK\x03\x04": "a zip archive or a spreadsheet; save it as CSV",
}


class BrokenLineError(RowError):
    """A line that is no row, with how it begins."""

    def __init__(self, kind: str, message: str, text: bytes) -> None:
        super().__init__(kind, message)
        self.text = text[:SHOWN]


def byte_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield ``(number, line)`` of a text file, unpacked, without a byte-order mark.

    Raises:
        InputError: it is no text file, cannot be read, breaks off, or has a line without end.
    """
    for number, line in lines_or_reasons(path):
        if isinstance(line, BrokenLineError):
            raise InputError(f"{path}:{number}: {line}")
        yield number, line


def lines_or_reasons(path: Path) -> Iterator[tuple[int, bytes | BrokenLineError]]:
    """The same, for readers that go on behind a line that is too long.

    Raises:
        InputError: it is no text file, cannot be read, or breaks off.
    """
    number = 0
    try:
        with opened(path) as handle:
            while line := handle.readline(LINE_LIMIT):
                number += 1
                if number == 1:
                    line = _first(path, line)
                if len(line) < LINE_LIMIT or line.endswith(b"\n"):
                    yield number, line
                    continue
                most = f"{LINE_LIMIT >> 20} MiB"
                message = f"a line of more than {most}; expected one fact a line"
                yield number, BrokenLineError("too_long", message, line)
                del line
                while (rest := handle.readline(PIECE)) and not rest.endswith(b"\n"):
                    pass
    except (*BROKEN, OSError) as error:
        raise unreadable(path, f":{number + 1}", error) from error


def unreadable(path: Path, place: str, error: Exception) -> InputError:
    """The error of a file that cannot be read further.

    Args:
        path: the file.
        place: ``:LINE`` where it breaks off, or nothing.
        error: one of `BROKEN`, or `OSError`.
    """
    why = getattr(error, "strerror", None)
    if isinstance(error, BROKEN) or (is_packed(path) and not why):
        return InputError(
            f"{path}{place}: the compressed data is broken ({error}); fetch the file again"
        )
    return InputError(f"cannot read {path}: {why or error}")


def _first(path: Path, line: bytes) -> bytes:
    for magic, kind in _FOREIGN.items():
        if line.startswith(magic):
            raise InputError(f"{path}: the file is {kind}")
    return line.removeprefix(b"\xef\xbb\xbf") or b"\n"
