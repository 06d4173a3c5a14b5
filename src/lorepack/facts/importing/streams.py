"""Files as streams: lines, and the elements of a JSON document, unzipped and within bounds."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn

from lorepack.errors import InputError, NotFoundError
from lorepack.facts import lines as file_lines
from lorepack.facts.lines import LINE_LIMIT, BrokenLineError, byte_lines, unreadable
from lorepack.facts.packed import BROKEN, bare, opened

CHUNK = 1 << 20
"""bytes that are read at once"""
WHOLE_LIMIT = 2 << 30
"""bytes of a JSON document, unzipped; a longer one is an error"""

_DECODER = json.JSONDecoder()


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield ``(number, line)`` of a text file, unpacked, without byte-order mark.

    Raises:
        NotFoundError: there is no such file.
        InputError: it is no text file, cannot be read, breaks off, or has a line without end.
    """
    _check(path)
    yield from byte_lines(path)


def lines_or_reasons(path: Path) -> Iterator[tuple[int, bytes | BrokenLineError]]:
    """The same; a line that is too long is given as the reason why it is none.

    Raises:
        NotFoundError: there is no such file.
        InputError: it is no text file, cannot be read, or breaks off.
    """
    _check(path)
    yield from file_lines.lines_or_reasons(path)


def elements(path: Path) -> Iterator[tuple[str | None, Any]]:
    """Yield the elements of a JSON list, or of every list that a JSON object holds.

    The document is read in pieces, so that its size costs no memory; other values beside the
    lists (a name, a version) are passed over.

    Args:
        path: JSON in UTF-8, plain or compressed.

    Yields:
        ``(key, element)``; the key is None in a plain list.

    Raises:
        NotFoundError: there is no such file.
        InputError: no JSON list and no object, not readable, or larger than 2 GiB.
    """
    _check(path)
    try:
        with opened(path) as handle:
            yield from _Document(path, handle).elements()
    except (*BROKEN, OSError) as error:
        raise unreadable(path, "", error) from error


def small_json(path: Path, most: int = LINE_LIMIT) -> Any:
    """The value of a JSON file that is known to be small.

    Raises:
        NotFoundError: there is no such file.
        InputError: not JSON, not readable, or larger than ``most`` bytes.
    """
    _check(path)
    try:
        with opened(path) as handle:
            data = handle.read(most + 1)
        if len(data) > most:
            raise InputError(f"{path}: more than {most >> 20} MiB; expected a small JSON file")
        return json.loads(data.removeprefix(codecs.BOM_UTF8))
    except (*BROKEN, OSError) as error:
        raise unreadable(path, "", error) from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not valid JSON ({error})") from error


def are_lines(path: Path) -> bool:
    """Whether a file has one JSON object a line, whatever its name says.

    Raises:
        NotFoundError: there is no such file.
        InputError: it cannot be read.
    """
    _check(path)
    try:
        with opened(path) as handle:
            return _begins_with_lines(_next_line(handle), _next_line(handle))
    except (*BROKEN, OSError) as error:
        raise unreadable(path, "", error) from error


def _next_line(handle: IO[bytes]) -> bytes:
    """The next line that is not blank; empty at the end."""
    while (line := handle.readline(LINE_LIMIT)).isspace():
        pass
    return line


def _begins_with_lines(first: bytes, second: bytes) -> bool:
    if not second.lstrip().startswith(b"{"):
        return False
    try:
        return isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        return False


def kind_of(path: Path) -> str:
    """The suffix of a file's name, in lower case and without that of a compression."""
    return Path(bare(path.name)).suffix


def first_record(path: Path, head: bytes) -> dict[str, Any] | None:
    """The first JSON object of a file, by which a format knows its own; None where there is none.

    Args:
        path: a name that ends in ``.jsonl``, ``.ndjson`` or ``.json`` (also compressed).
        head: the first bytes of the file, unzipped.
    """
    try:
        text = head.removeprefix(codecs.BOM_UTF8).lstrip()
        first, _, rest = text.partition(b"\n")
        as_lines = kind_of(path) == ".json" and _begins_with_lines(first, rest)
        if kind_of(path) in (".jsonl", ".ndjson") or as_lines:
            value, _ = _DECODER.raw_decode(first.decode("utf-8", "replace"))
        elif kind_of(path) == ".json":
            _, value = next(_Document(path, io.BytesIO(head)).elements())
        else:
            return None
    except (ValueError, RecursionError, StopIteration):  # InputError is a ValueError
        return None
    return value if isinstance(value, dict) else None


class _Document:
    """A JSON document that is taken apart while it is read."""

    def __init__(self, path: Path, handle: Any) -> None:
        self.path, self.handle = path, handle
        # Bytes that are not UTF-8 become surrogates, which the check of each text finds.
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
        self.text, self.at, self.line, self.read = "", 0, 1, 0
        self.ended = False

    def elements(self) -> Iterator[tuple[str | None, Any]]:
        """The elements, as `lorepack.facts.importing.streams.elements` gives them."""
        opening = self.peek()
        if opening == "[":
            for value in self.list():
                yield None, value
        elif opening == "{":
            for key in self.keys():
                if self.peek() == "[":
                    for value in self.list():
                        yield key, value
                else:
                    self.value()
        else:
            self.fail("expected a JSON list, or an object that holds lists")
        if self.peek():
            self.fail("more than one JSON value; a file with one object a line is a .jsonl")

    def list(self) -> Iterator[Any]:
        """The elements of the list that begins here."""
        self.at += 1
        if self.peek() == "]":
            self.at += 1
            return
        while True:
            yield self.value()
            if self.then("]"):
                return

    def keys(self) -> Iterator[str]:
        """The keys of the object that begins here; the caller reads the value of each."""
        self.at += 1
        if self.peek() == "}":
            self.at += 1
            return
        while True:
            if self.peek() != '"':
                self.fail("expected a key in double quotes")
            key = self.value()
            if self.peek() != ":":
                self.fail("expected ':'")
            self.at += 1
            yield key
            if self.then("}"):
                return

    def then(self, end: str) -> bool:
        """Pass over a comma (False) or the end of a list or object (True)."""
        mark = self.peek()
        if not mark or mark not in f",{end}":
            self.fail(f"expected ',' or '{end}'")
        self.at += 1
        return mark == end

    def value(self) -> Any:
        """The whole value that begins here."""
        self.peek()
        size = CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                cut_off = error.msg.startswith("Unterminated") or error.pos > len(self.text) - 16
                if self.ended or not cut_off:
                    self.at = error.pos
                    self.fail(error.msg)
            except (RecursionError, ValueError):  # nested too deep; a number of too many digits
                self.fail("a value that cannot be read; expected flat objects")
            else:
                if self.ended or _is_whole(self.text[end : end + 3]):
                    self.at = end
                    return value
            if len(self.text) - self.at > LINE_LIMIT:
                self.fail(f"an element of more than {LINE_LIMIT >> 20} MiB, or broken JSON")
            self.more(size)
            size *= 2

    def peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
                self.at += 1
            if self.at < len(self.text) or self.ended:
                return self.text[self.at : self.at + 1]
            self.more(CHUNK)

    def more(self, size: int) -> None:
        """Read on, and forget what was passed."""
        data = self.handle.read1(size)  # a break tells of itself once all before it was given
        self.read += len(data)
        self.ended = not data
        if self.read > WHOLE_LIMIT:
            self.fail(f"a JSON document of more than {WHOLE_LIMIT >> 30} GiB; write it as .jsonl")
        self.line += self.text.count("\n", 0, self.at)
        self.text = self.text[self.at :] + self.decoder.decode(data, self.ended)
        self.at = 0

    def fail(self, why: str) -> NoReturn:
        """End with the place and the reason."""
        line = self.line + self.text.count("\n", 0, self.at)
        raise InputError(f"{self.path}:{line}: broken JSON ({why})")


def _is_whole(rest: str) -> bool:
    """Whether a value ends before this rest: a number may go on where the reading paused."""
    return len(rest) == 3 or bool(rest.strip("0123456789.eE+-"))


def _check(path: Path) -> None:
    if not path.exists():
        raise NotFoundError(f"no such file: {path}")
    if path.is_dir():
        raise InputError(f"{path} is a folder; expected one file")
