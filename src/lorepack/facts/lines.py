"""Lines of a text file, unzipped, with a bound on their length."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lorepack.errors import InputError

LINE_LIMIT = 64 << 20
"""bytes; a longer line is an error, so that no file can fill the memory"""

_FOREIGN = {
    b"\x1f\x8b": "gzip data; add .gz to its name",
    b"\xff\xfe": "UTF-16; save it as UTF-8",
    b"\xfe\xff": "UTF-16; save it as UTF-8",
    b"PAR1": "Parquet; name it .parquet",
    b"PK\x03\x04": "a zip archive or a spreadsheet; save it as CSV",
}


def byte_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield ``(number, line)`` of a text file, unzipped, without a byte-order mark.

    Raises:
        InputError: it is no text file, cannot be read, breaks off, or has a line without end.
    """
    number = 0
    try:
        with _open(path) as handle:
            while line := handle.readline(LINE_LIMIT):
                number += 1
                if number == 1:
                    line = _first(path, line)
                if len(line) == LINE_LIMIT and not line.endswith(b"\n"):
                    raise InputError(
                        f"{path}:{number}: a line of more than {LINE_LIMIT >> 20} MiB; "
                        "expected one fact a line"
                    )
                yield number, line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path}:{number + 1}: the compressed data is broken ({error}); fetch the file again"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def _open(path: Path) -> IO[bytes]:
    if path.name.lower().endswith(".gz"):
        return io.BufferedReader(gzip.open(path, "rb"))  # type: ignore[arg-type]
    return open(path, "rb")


def _first(path: Path, line: bytes) -> bytes:
    for magic, kind in _FOREIGN.items():
        if line.startswith(magic):
            raise InputError(f"{path}: the file is {kind}")
    return line.removeprefix(b"\xef\xbb\xbf") or b"\n"
