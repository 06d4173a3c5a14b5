"""Files of documents: which there are in a folder, and the document in each."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from lorepack.errors import InputError, NotFoundError
from lorepack.facts.documents.apart import read_pdf_apart
from lorepack.facts.documents.document import Document
from lorepack.facts.documents.docx import read_docx
from lorepack.facts.documents.epub import read_epub
from lorepack.facts.documents.html import read_html
from lorepack.facts.documents.plain import read_markdown, read_text
from lorepack.facts.rows import RowError

FILE_LIMIT = 256 << 20
"""bytes"""

READERS: dict[str, Callable[[bytes], Document]] = {
    ".txt": read_text,
    ".text": read_text,
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".html": read_html,
    ".htm": read_html,
    ".xhtml": read_html,
    ".pdf": read_pdf_apart,
    ".docx": read_docx,
    ".epub": read_epub,
}


class Found(NamedTuple):
    """A file, and why it is left alone."""

    path: Path
    name: str
    """its path inside the folder, with ``/``"""
    skipped: str | None = None
    """``skipped_hidden``, ``skipped_link``, ``skipped_special`` or ``skipped_unreadable``"""


def read_document(path: Path) -> Document:
    """The document in a file.

    Args:
        path: of a kind in `READERS`, by its name.

    Raises:
        RowError: it cannot be read, or has no text; the kind says why.
        InputError: a library is not installed.
    """
    try:
        with open(path, "rb") as handle:
            data = handle.read(FILE_LIMIT + 1)
    except OSError as error:
        raise RowError("unreadable", f"cannot be read: {error.strerror or error}") from None
    if len(data) > FILE_LIMIT:
        raise RowError("too_large", f"more than {FILE_LIMIT >> 20} MiB")
    document = READERS[path.suffix.lower()](data)
    if not document.text:
        raise RowError("no_text", "the document has no text")
    return document


def files_in(source: Path) -> Iterator[Found]:
    """The file, or the files of a folder and its folders, sorted by name.

    Links are followed only where they lead to a file inside the folder.

    Raises:
        NotFoundError: there is no such file or folder.
        InputError: the folder cannot be read.
    """
    if not source.exists():
        raise NotFoundError(f"no such file: {source}")
    if not source.is_dir():
        yield Found(source, _spelled(source.name))
        return
    try:
        root, stack = source.resolve(), list(_listed(source))
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror or error}") from error
    while stack:
        entry = stack.pop()
        path = Path(entry.path)
        found = Found(path, _spelled(path.relative_to(source).as_posix()), _why_not(entry, root))
        try:
            inside = _listed(path) if not found.skipped and entry.is_dir() else None
        except OSError:
            found, inside = found._replace(skipped="skipped_unreadable"), None
        if inside is None:
            yield found
        else:
            stack += inside


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    """What a folder holds, the first by name last."""
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name, reverse=True)


def _why_not(entry: os.DirEntry[str], root: Path) -> str | None:
    if entry.name.startswith("."):
        return "skipped_hidden"
    try:
        if entry.is_symlink():
            target = Path(entry.path).resolve()
            if not (target.is_relative_to(root) and target.is_file()):
                return "skipped_link"
            return None
        mode = entry.stat(follow_symlinks=False).st_mode
    except (OSError, RuntimeError):  # gone, or links in a circle
        return "skipped_unreadable"
    return None if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else "skipped_special"


def _spelled(name: str) -> str:
    """A name that can be written, whatever bytes the file system has."""
    return name.encode("utf-8", "replace").decode()


def suffix_count(path: Path) -> str:
    """What a file of a kind that is not read is counted as."""
    suffix = path.suffix.lower()
    return f"skipped_suffix{suffix if re.fullmatch(r'[.][a-z0-9]{1,10}', suffix) else '.other'}"
