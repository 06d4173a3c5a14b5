"""DOCX: the paragraphs of the body, with tables, notes and text boxes, as they are read last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lorepack.facts.documents.archives import Archive, local
from lorepack.facts.documents.cleaning import clean
from lorepack.facts.documents.document import Document, told_language, told_title
from lorepack.facts.rows import RowError

_NOTES = ("word/footnotes.xml", "word/endnotes.xml")
# What was deleted under revision, and the older twin of a drawing.
_UNSEEN = frozenset({"del", "moveFrom", "Fallback", "instrText", "delText"})
_SIGNS = {"tab": " ", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_ENDS = {"p": "\n\n", "tr": "\n", "tbl": "\n\n"}


def read_docx(data: bytes) -> Document:
    """The text of a Word document; revisions as if they were accepted.

    Raises:
        RowError: it is broken, encrypted, or unpacks to too much.
        InputError: lxml is not installed.
    """
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise RowError("encrypted", "an encrypted or old Word document; save it as .docx")
    archive = Archive(data)
    if "word/document.xml" not in archive:
        raise RowError("unreadable", "no Word document: the archive has no 'word/document.xml'")
    parts = ["word/document.xml", *(name for name in _NOTES if name in archive)]
    text = "\n\n".join("".join(_words(archive.xml(name))) for name in parts)
    title = language = None
    if "docProps/core.xml" in archive:
        core = {local(x): x.text for x in archive.xml("docProps/core.xml").iter()}
        title, language = core.get("title"), core.get("language")
    return Document(clean(text), title=told_title(title), language=told_language(language))


def _words(root: Any) -> Iterator[str]:
    stack: list[tuple[Any, bool]] = [(root, False)]
    cells = 0
    while stack:
        element, done = stack.pop()
        name = local(element)
        if done:
            cells -= name == "tc"
            # In a table, a row is a line.
            yield " " if name == "p" and cells else _ENDS.get(name, "")
            continue
        if not name or name in _UNSEEN:
            continue
        cells += name == "tc"
        yield " | " if name == "tc" and local(element.getprevious()) == "tc" else ""
        yield _SIGNS.get(name, "")
        if name == "t" and element.text:
            yield element.text
        stack.append((element, True))
        stack.extend((child, False) for child in reversed(element))
