"""The formats by name, and telling them apart."""

from __future__ import annotations

import contextlib
import importlib
from pathlib import Path

from lorepack.errors import InputError, LorepackError, NotFoundError, suggest
from lorepack.facts.importing.format import Format
from lorepack.facts.lines import unreadable
from lorepack.facts.packed import Salvaged

LISTED = 8  # files of a folder that are named
HEAD = 1 << 16  # bytes of a file that its format is told from

# name -> module of this package that holds it, under FORMATS
HOMES = {
    "jsonl": "tabular", "csv": "tabular", "parquet": "tabular", "json": "tabular", "hub": "hub",
    "triples": "triples", "ntriples": "triples", "dbpedia": "dbpedia",
    "phonebook": "phonebook", "counterfact": "edits", "zsre": "edits",
    "knowledge-packing": "labelled", "tofu": "labelled",
    "popqa": "openqa", "entityquestions": "openqa", "nq-open": "openqa", "triviaqa": "openqa",
    "squad": "reading", "retrievalqa": "reading", "streamingqa": "reading",
    "paperqa": "longform", "narrativeqa": "longform", "quality": "longchoice",
    "infinitebench": "longchoice", "longbench2": "longchoice", "newscrawl": "newscrawl",
    "docs": "docs",
}  # fmt: skip


def named(name: str) -> Format:
    """A format by its name.

    Raises:
        InputError: no such format.
    """
    if name not in HOMES:
        raise InputError(f"no format {name!r}{suggest(name, HOMES)}")
    module = importlib.import_module(f"lorepack.facts.importing.{HOMES[name]}")
    return module.FORMATS[name]  # type: ignore[no-any-return]


def detect(path: Path) -> Format:
    """The one format that a source is of beyond doubt.

    Raises:
        NotFoundError: no such file or folder.
        InputError: none or several fit.
    """
    if not path.exists():
        raise NotFoundError(f"no such file: {path}")
    found = _fitting(path)
    if len(found) != 1:
        which = ", ".join(form.name for form in found) or _inside(path)
        if not found and (why := _why_unread(path)):
            raise why
        raise InputError(f"{path}: format in doubt ({which}); say it with --as FORMAT")
    return found[0]


def _fitting(path: Path) -> list[Format]:
    head = b"" if path.is_dir() else head_of(path)
    return [form for name in HOMES if (form := named(name)).fits(path, head)]


def _inside(path: Path) -> str:
    """What a folder holds, where its files are of formats that are known."""
    none = "none that is known here"
    if not path.is_dir():
        return none
    try:
        files = sorted(file for file in path.iterdir() if file.is_file())[:LISTED]
    except OSError:
        return none
    told = {file.name: [form.name for form in _fitting(file)] for file in files}
    known = [f"{name}: {' or '.join(forms)}" for name, forms in told.items() if forms]
    return f"a folder with {', '.join(known)}" if known else none


def told_otherwise(path: Path, form: Format) -> str:
    """What a source looks like that cannot be read as it was said to be; empty where in doubt."""
    try:
        found = _fitting(path) if path.exists() else []
    except LorepackError:
        return ""
    other = len(found) == 1 and found[0].name != form.name
    return f"; it looks like --as {found[0].name}" if other else ""


def head_of(path: Path) -> bytes:
    """The first 64 KiB of a file, unpacked; empty where they cannot be read."""
    return _opening(path)[0]


def _opening(path: Path) -> tuple[bytes, Exception | None]:
    """The head of a file, and why there is no more of it."""
    try:
        with contextlib.closing(Salvaged(path)) as handle:
            return handle.read(HEAD), handle.error
    except OSError as error:
        return b"", error


def _why_unread(path: Path) -> InputError | None:
    """Why a file of no known format cannot be read, where that is the reason."""
    if path.is_dir():
        return None
    head, error = _opening(path)
    if error is not None:
        return unreadable(path, "", error)
    if not head.strip(b"\0 \t\r\n"):
        what = "holds nothing but zeros and white space" if head else "is empty"
        return InputError(f"{path}: the file {what}; fetch it again")
    return None
