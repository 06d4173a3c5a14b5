"""HTML and XHTML: the text that a reader sees, without scripts, styles and navigation."""

from __future__ import annotations

import codecs
import contextlib
import re
from collections.abc import Iterator
from typing import Any

from lorepack.facts.documents.archives import local, xml_root
from lorepack.facts.documents.cleaning import clean
from lorepack.facts.documents.document import Document, told_date, told_language, told_title
from lorepack.facts.documents.extra import library
from lorepack.facts.documents.plain import decoded
from lorepack.facts.documents.tokens import listed
from lorepack.facts.rows import RowError

_UNSEEN = listed(
    "head script style noscript template svg math iframe object embed canvas audio video map"
    " nav button select textarea input datalist dialog"
)
_UNSEEN_ROLES = frozenset({"navigation", "search", "banner", "contentinfo", "menu", "dialog"})
_BLOCKS = listed(
    "address article aside blockquote body center dd details div dl dt fieldset figcaption figure"
    " footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend main ol p pre section summary"
    " table tbody tfoot thead ul caption"
)
_LINES = frozenset({"tr", "br", "option"})
_CELLS = frozenset({"td", "th"})
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{2,40})", re.IGNORECASE)
_ENCODING = re.compile(  # Python has others, which no page means
    r"utf-?8|iso-8859-\d{1,2}|latin\d|(?:windows-|cp)\d{3,4}|koi8-[ru]|mac\w*|shift[_-]jis|sjis"
    r"|euc-(?:jp|kr)|iso-2022-jp|gb2312|gbk|gb18030|big5"
)
_WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_DATES = frozenset({"article:published_time", "date", "dc.date", "dcterms.date", "dcterms.created"})


def read_html(data: bytes) -> Document:
    """The text of a page, a block a paragraph; title, language and date where it tells them.

    Raises:
        RowError: an encoding that cannot be read, or elements nested without end.
        InputError: lxml is not installed.
    """
    lxml_html = library("lxml.html", "HTML")
    etree = library("lxml.etree", "HTML")
    text = _decoded(data).replace("\0", "")
    if not text.strip():
        return Document("")
    parser = lxml_html.HTMLParser(
        encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True
    )
    try:
        root = lxml_html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except (etree.LxmlError, ValueError) as error:
        if "empty" in str(error).lower():
            return Document("")
        raise RowError("unreadable", f"broken HTML ({error})") from None
    if any(entry.type_name == "ERR_RESOURCE_LIMIT" for entry in parser.error_log):
        raise RowError("too_deep", "elements nested too deep, or without end")
    return _document(root)


def xhtml_text(data: bytes) -> str:
    """The text of a part of an e-book, which is XML, and HTML where it is broken.

    Raises:
        RowError: see `read_html`.
    """
    try:
        root = xml_root(data)
    except RowError as error:
        if error.kind == "unsafe_xml":
            raise
        return read_html(data).text
    return _document(root).text


def _document(root: Any) -> Document:
    title = date = None
    for element in root.iter():
        name = local(element)
        if name == "title" and title is None:
            title = "".join(element.itertext())
        elif name == "meta" and date is None:
            key = element.get("property") or element.get("name") or ""
            date = element.get("content") if key.lower() in _DATES else None
        elif name == "body":
            break
    return Document(
        clean("".join(_visible(root))),
        title=told_title(title),
        language=told_language(root.get("lang") or root.get(_XML_LANG)),
        date=told_date(date),
    )


_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


def _decoded(data: bytes) -> str:
    """Text by the byte-order mark, what the page declares, or UTF-8."""
    declared = _CHARSET.search(data[:4096])
    if declared and not data.startswith((codecs.BOM_UTF8, *_WIDE)):
        name = declared[1].decode().lower()
        # Browsers read these names so.
        name = {"iso-8859-1": "cp1252", "latin1": "cp1252", "us-ascii": "cp1252"}.get(name, name)
        with contextlib.suppress(UnicodeError, LookupError):  # wrong, or unknown: UTF-8 then
            if _ENCODING.fullmatch(name):
                return data.decode(name)
    return decoded(data if data.startswith(_WIDE) else data.replace(b"\0", b""))


def _visible(root: Any) -> Iterator[str]:
    """The pieces of text in order, with the breaks that their elements make; without recursion."""
    stack: list[tuple[Any, bool]] = [(root, False)]
    kept = 0  # open elements whose white space is kept
    while stack:
        element, done = stack.pop()
        name = local(element)
        if done:
            kept -= name == "pre"
            yield _break(name)
            yield _spaced(element.tail, kept)
            continue
        if not name or _is_unseen(element, name):
            yield _spaced(element.tail, kept)
            continue
        kept += name == "pre"
        yield _opening(element, name)
        yield _spaced(element.text, kept)
        stack.append((element, True))
        stack.extend((child, False) for child in reversed(element))


def _is_unseen(element: Any, name: str) -> bool:
    return (
        name in _UNSEEN
        or element.get("hidden") is not None
        or element.get("aria-hidden") == "true"
        or (element.get("role") or "").lower() in _UNSEEN_ROLES
        or bool(_HIDDEN.search(element.get("style") or ""))
    )


def _opening(element: Any, name: str) -> str:
    if name == "li":
        return "\n- "
    if name in _CELLS:
        return " | " if local(element.getprevious()) in _CELLS else ""
    return "\n\n" if name in _BLOCKS else ""


def _break(name: str) -> str:
    if name in _BLOCKS:
        return "\n\n"
    return "\n" if name in _LINES else ""


def _spaced(text: str | None, kept: int) -> str:
    if not text or kept:
        return text or ""
    return re.sub(r"[ \t\r\n\f]+", " ", text)
