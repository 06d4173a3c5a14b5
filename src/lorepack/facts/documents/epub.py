"""EPUB: the chapters in the order of the spine, as one document; lost ones are counted."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from lorepack.facts.documents.archives import Archive, local
from lorepack.facts.documents.cleaning import clean
from lorepack.facts.documents.document import Document, told_date, told_language, told_title
from lorepack.facts.documents.html import xhtml_text
from lorepack.facts.rows import RowError

_CONTAINER = "META-INF/container.xml"
_PAGES = frozenset({"application/xhtml+xml", "text/html", "text/x-oeb1-document"})
CHAPTERS_LIMIT = 10_000


@dataclass(frozen=True)
class Incomplete(Document):
    """A book some of whose chapters could not be read."""

    missing: int = 0
    """chapters that the archive does not hold, or that are broken in it"""


def read_epub(data: bytes) -> Document:
    """The text of an e-book; title, language and date as its package tells them.

    Returns:
        The document; an `Incomplete` one where chapters are lost and others are not.

    Raises:
        RowError: it is broken, protected, unpacks to too much, or no chapter can be read.
        InputError: lxml is not installed.
    """
    archive = Archive(data)
    if _CONTAINER not in archive:
        raise RowError("unreadable", f"no e-book: the archive has no {_CONTAINER!r}")
    places = [x.get("full-path") for x in archive.xml(_CONTAINER).iter() if local(x) == "rootfile"]
    if not places or not places[0]:
        raise RowError("unreadable", "the e-book names no package")
    package = archive.xml(places[0])
    names = list(_chapters(package, posixpath.dirname(places[0])))
    if not names:
        raise RowError("unreadable", "the e-book has no chapters in its spine")
    if len(names) > CHAPTERS_LIMIT:
        raise RowError("too_large", f"more than {CHAPTERS_LIMIT:,} chapters")
    if "META-INF/encryption.xml" in archive and _protects(archive, names):
        raise RowError("encrypted", "the e-book's text is encrypted")
    texts = _texts(archive, names)
    told = _metadata(package)
    fields: dict[str, Any] = {
        "text": clean("\n\n".join(texts)),
        "title": told_title(told.get("title")),
        "language": told_language(told.get("language")),
        "date": told_date(told.get("date")),
    }
    missing = len(names) - len(texts)
    return Incomplete(**fields, missing=missing) if missing else Document(**fields)


def _texts(archive: Archive, names: list[str]) -> list[str]:
    """The chapters that can be read.

    Raises:
        RowError: none can, or the archive is not to be trusted.
    """
    texts, lost = [], None
    for name in names:
        try:
            texts.append(xhtml_text(archive.read(name)))
        except RowError as error:
            if error.kind != "unreadable":
                raise
            lost = error
    if lost is not None and not texts:
        raise lost
    return texts


def _chapters(package: Any, folder: str) -> Iterator[str]:
    """Names of the parts in reading order; each once, without the book's own navigation."""
    items = {x.get("id"): x for x in package.iter() if local(x) == "item"}
    seen = set()
    for reference in package.iter():
        item = items.get(reference.get("idref")) if local(reference) == "itemref" else None
        if item is None or not item.get("href") or item.get("media-type") not in _PAGES:
            continue
        if "nav" in (item.get("properties") or "").split():
            continue
        href = unquote(item.get("href").partition("#")[0])
        name = posixpath.normpath(posixpath.join(folder, href))
        if name not in seen:
            seen.add(name)
            yield name


def _protects(archive: Archive, names: list[str]) -> bool:
    """Whether a chapter is encrypted; fonts often are, and do not matter."""
    listed = archive.xml("META-INF/encryption.xml").iter()
    hidden = {unquote(x.get("URI") or "") for x in listed if local(x) == "CipherReference"}
    return not hidden.isdisjoint(names)


def _metadata(package: Any) -> dict[str, str]:
    told: dict[str, str] = {}
    for element in package.iter():
        if local(element) in ("title", "language", "date") and element.text:
            told.setdefault(local(element), element.text)
    return told
