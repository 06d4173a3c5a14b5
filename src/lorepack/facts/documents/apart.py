"""Reading PDFs in a process of its own, which is stopped when it takes too long or too much memory.

A few hundred bytes can make a PDF without end, and nothing inside a process can stop it for
certain. One process reads file after file; after one that had to be stopped, the next gets another.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import json
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

from lorepack.errors import InputError
from lorepack.facts.documents.document import Document
from lorepack.facts.documents.extra import library
from lorepack.facts.documents.pdf import read_pdf
from lorepack.facts.rows import RowError

SECONDS = 60.0
"""that any file may take"""
BYTES_A_SECOND = 50_000
"""for which a larger file gets one second more"""
MOST_SECONDS = 600.0
MEMORY = 2 << 30
"""bytes that reading a file may take, where the system can bound it"""

_LENGTH = struct.Struct("<Q")
_lock = threading.Lock()
_child: _Child | None = None


def read_pdf_apart(data: bytes) -> Document:
    """The text of a PDF, as `lorepack.facts.documents.pdf.read_pdf` gives it, within bounds.

    Raises:
        RowError: as there; or ``too_slow``, or ``too_large`` for the memory.
        InputError: pypdf is not installed, or no process can be started.
    """
    global _child
    library("pypdf", "PDF")
    seconds = min(MOST_SECONDS, SECONDS + len(data) / BYTES_A_SECOND)
    with _lock:
        if _child is None or not _child.lives():
            _child = _Child()
        told = _child.ask(data, seconds)
    if "fault" in told:
        raise RowError(*told["fault"])
    return Document(**{**told, "pages": tuple(told["pages"])})


class _Child:
    """The process that reads; it ends with this one."""

    def __init__(self) -> None:
        # Found where this process finds it, but never in the folder where it happens to run.
        paths = os.pathsep.join(path for path in sys.path if path)
        command = [sys.executable, "-P", "-m", "lorepack.facts.documents.apart"]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": paths},
            )  # fmt: skip
        except OSError as error:
            raise InputError(f"no process can be started to read PDFs ({error})") from error
        atexit.register(self._close)

    def lives(self) -> bool:
        return self._process.poll() is None

    def ask(self, data: bytes, seconds: float) -> dict[str, Any]:
        """What it answers; when it does not in time, it is stopped and gone."""
        assert self._process.stdin
        assert self._process.stdout
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            _send(self._process.stdin, data)
            answer = _received(self._process.stdout)
        except (OSError, EOFError):
            self._close()
            if late.is_set():
                fault = ("too_slow", f"not read in {seconds:.0f} seconds, and stopped")
            else:
                fault = ("unreadable_pdf", "the process that read it broke down")
            return {"fault": fault}
        except BaseException:
            self._close()  # its answer must not be taken for that to another question
            raise
        finally:
            timer.cancel()
        told: dict[str, Any] = json.loads(answer)
        return told

    def _close(self) -> None:
        atexit.unregister(self._close)
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream:
                    stream.close()
        self._process.wait()


def _send(stream: IO[bytes], data: bytes) -> None:
    stream.write(_LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def _received(stream: IO[bytes]) -> bytes:
    """The next message.

    Raises:
        EOFError: there is none.
    """
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    size = _LENGTH.unpack(head)[0]
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _bound_memory() -> None:
    """Let this process have no more than `MEMORY` beyond what it has now."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _answer(data: bytes) -> dict[str, Any]:
    try:
        document = read_pdf(data)
    except RowError as error:
        return {"fault": (error.kind, str(error))}
    except MemoryError:
        return {"fault": ("too_large", f"takes more than {MEMORY >> 30} GiB of memory to read")}
    return vars(document)


def _serve() -> None:
    """Answer, one after the other, the files that come in; end with them."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library may print is no answer
    _bound_memory()
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while True:
            data = _received(source)
            faulthandler.dump_traceback_later(MOST_SECONDS + 60, exit=True)  # if nobody stops it
            _send(sink, json.dumps(_answer(data)).encode())
            faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    _serve()
