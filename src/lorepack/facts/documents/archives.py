"""Documents that are zip archives of XML: read by name, in memory, within bounds.

No file is ever unpacked, so that a name in an archive is never a path.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from html.entities import html5
from typing import Any

from lorepack.facts.documents.extra import library
from lorepack.facts.rows import RowError

UNPACKED_LIMIT = 256 << 20
"""bytes of all parts that are read"""
RATIO_LIMIT = 200
"""times its packed size that a part may unpack to; text does to three to twenty"""
SMALL = 1 << 20
"""bytes of a part of which the ratio does not matter"""

_ENTITY = re.compile(rb"&([A-Za-z][A-Za-z0-9]{1,31};)")
_XML_OWN = {b"amp;", b"lt;", b"gt;", b"quot;", b"apos;"}


class Archive:
    """A zip archive of which single parts are read."""

    def __init__(self, data: bytes) -> None:
        """Open an archive.

        Raises:
            RowError: it is none.
        """
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            self._parts = {info.filename: info for info in self._zip.infolist()}
        except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError) as error:
            raise RowError("unreadable", f"not a zip archive ({error})") from None
        self._read = 0

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def read(self, name: str) -> bytes:
        """The bytes of a part.

        Raises:
            RowError: there is no such part, it is broken or encrypted, or unpacks to too much.
        """
        info = self._parts.get(name)
        if info is None:
            raise RowError("unreadable", f"the archive has no {name[:80]!r}")
        if info.flag_bits & 1:
            raise RowError("encrypted", "the archive is protected by a password")
        # What the archive says of its sizes may be wrong: what is read is bounded, too.
        most = min(UNPACKED_LIMIT - self._read, max(SMALL, RATIO_LIMIT * info.compress_size))
        try:
            with self._zip.open(info) as part:
                data = part.read(most + 1)
        except (
            *(zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError),
            *(NotImplementedError, RuntimeError),
        ) as error:
            raise RowError("unreadable", f"{name[:80]!r} in it is broken ({error})") from None
        if len(data) > most:
            raise RowError("zip_bomb", f"{name[:80]!r} in it unpacks to more than {most:,} bytes")
        self._read += len(data)
        return data

    def xml(self, name: str) -> Any:
        """The root element of a part; see `xml_root`."""
        return xml_root(self.read(name))


def xml_root(data: bytes) -> Any:
    """The root element of an XML document, which may name no entities of its own.

    Raises:
        RowError: it is broken, or declares entities.
        InputError: lxml is not installed.
    """
    etree = library("lxml.etree", "docx and epub")
    data = _ENTITY.sub(_character, data)
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise RowError("unreadable", f"broken XML ({error})") from None
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and any(True for _ in declared.iterentities()):
        raise RowError("unsafe_xml", "the XML declares entities of its own")
    return root


def _character(found: re.Match[bytes]) -> bytes:
    """A named character of HTML as its number: ``&nbsp;`` is no XML."""
    chars = html5.get(found[1].decode()) if found[1] not in _XML_OWN else None
    return "".join(f"&#{ord(char)};" for char in chars).encode() if chars else found[0]


def local(element: Any) -> str:
    """The name of an element without its namespace; empty for what is no element."""
    tag = None if element is None else element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
