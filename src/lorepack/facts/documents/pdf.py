"""PDF: the text of each page, as one document."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from typing import Any

from lorepack.errors import InputError
from lorepack.facts.documents.cleaning import pages_joined
from lorepack.facts.documents.document import Document, told_title
from lorepack.facts.documents.extra import library
from lorepack.facts.rows import RowError

PAGES_LIMIT = 20_000
TEXT_LIMIT = 64 << 20
"""characters"""


def read_pdf(data: bytes) -> Document:
    """The text of a PDF, without the headers and footers that most pages repeat.

    Raises:
        RowError: it is broken, encrypted, too long, or has no text (scanned pages).
        InputError: pypdf is not installed.
    """
    pypdf = library("pypdf", "PDF")
    try:
        with _quiet():
            reader = pypdf.PdfReader(io.BytesIO(data), strict=False)
            if reader.is_encrypted and not _opened(reader):
                raise RowError("encrypted", "the PDF is protected by a password")
            pages = list(_pages(reader))
            title = _title(reader)
    except (RowError, InputError, MemoryError):
        raise
    # A broken PDF makes the library fail in any way there is; it is the file's fault.
    except Exception as error:
        told = " ".join(str(error).split())[:200]
        raise RowError("unreadable_pdf", f"broken PDF ({type(error).__name__}: {told})") from None
    text, starts = pages_joined(pages)
    if not text:
        raise RowError("no_text", f"{len(pages)} pages without text; scanned pages need OCR first")
    return Document(text, title=title, pages=starts)


def _opened(reader: Any) -> bool:
    """Whether it opens without a password: many forbid only printing or copying."""
    try:
        return bool(reader.decrypt(""))
    except Exception:  # a cipher that is not there, or broken keys
        return False


def _pages(reader: Any) -> Iterator[str]:
    if len(reader.pages) > PAGES_LIMIT:
        raise RowError("too_large", f"more than {PAGES_LIMIT:,} pages")
    length = 0
    for page in reader.pages:
        text = page.extract_text() or ""
        length += len(text)
        if length > TEXT_LIMIT:
            raise RowError("too_large", f"more than {TEXT_LIMIT >> 20} million characters")
        yield text


def _title(reader: Any) -> str | None:
    try:
        return told_title(reader.metadata.title if reader.metadata else None)
    except Exception:  # metadata that is broken is worth no document
        return None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's notes on what it mended."""
    log = logging.getLogger("pypdf")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)
