"""Facts put aside in a temporary file, to be fetched by number."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from typing import IO, Any

from lorepack.errors import WriteError
from lorepack.facts.fact import Fact
from lorepack.facts.rows import to_fact


class Spool:
    """Facts with their places, by rising numbers; used in a ``with`` block.

    Memory: 16 bytes a fact.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._numbers, self._starts = array("Q"), array("Q", [0])
        self._flushed = True

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):  # what is not written by now is not wanted
            self._file.close()

    def put(self, number: int, fact: Fact, **place: Any) -> None:
        """Keep a fact under a number above all earlier ones.

        Raises:
            WriteError: no space for the temporary file.
        """
        assert not self._numbers or number > self._numbers[-1]
        data = json.dumps([fact.to_json(), place], ensure_ascii=False).encode()
        with _room():
            self._file.write(data)
        self._numbers.append(number)
        self._starts.append(self._starts[-1] + len(data))
        self._flushed = False

    def get(self, number: int) -> tuple[Fact, dict[str, Any]]:
        """The fact of a number and its place.

        Raises:
            WriteError: no space for the temporary file.
        """
        if not self._flushed:
            with _room():
                self._file.flush()
            self._flushed = True
        index = bisect_left(self._numbers, number)
        start, end = self._starts[index], self._starts[index + 1]
        row, place = json.loads(os.pread(self._file.fileno(), end - start, start))
        return to_fact(row), place

    def __contains__(self, number: int) -> bool:
        index = bisect_left(self._numbers, number)
        return index < len(self._numbers) and self._numbers[index] == number


@contextlib.contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        told = error.strerror or error
        raise WriteError(f"no room in {tempfile.gettempdir()} ({told}); set TMPDIR") from error
