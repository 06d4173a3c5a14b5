"""The formats by name, and telling them apart."""

from __future__ import annotations

import importlib
import lzma
import zlib
from pathlib import Path

from lorepack.errors import InputError, NotFoundError, suggest
from lorepack.facts.importing.format import Format
from lorepack.facts.importing.streams import opened

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
    head = b"" if path.is_dir() else head_of(path)
    found = [form for name in HOMES if (form := named(name)).fits(path, head)]
    if len(found) != 1:
        which = ", ".join(form.name for form in found) or "none that is known here"
        raise InputError(f"{path}: format in doubt ({which}); say it with --as FORMAT")
    return found[0]


def head_of(path: Path) -> bytes:
    """The first 64 KiB of a file, unzipped; empty where they cannot be read."""
    try:
        with opened(path) as handle:
            return handle.read(HEAD)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return b""
