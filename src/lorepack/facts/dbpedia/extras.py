"""What other files say of a dump's names: aliases of entities, classes of relations."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from lorepack.errors import InputError, NotFoundError
from lorepack.facts.dbpedia.labels import RESOURCE, label
from lorepack.facts.packed import BROKEN, bare, opened

LINE_LIMIT = 1 << 20  # bytes; longer lines are no triples of names
MOST = 50  # aliases of one entity
_TRIPLE = re.compile(
    rb"<(?P<s>[^>]*)> <(?P<p>[^>]*)> "
    rb'(?:<(?P<o>[^>]*)>|"(?P<text>(?:[^"\\]|\\.)*)"(?:@(?P<lang>[\w-]+))?)'
)
_NAMING = (b"#label", b"altLabel", b"prefLabel", b"/name", b"#alias")
_LINKING = (b"#sameAs>", b"schema.org/about>")
_WIKIDATA = re.compile(
    rb"https?://(?:www\.)?wikidata\.(?:dbpedia\.)?org/(?:entity|resource|wiki)/(Q\d+)"
)
_ARTICLE = re.compile(r"https?://en\.wikipedia\.org/wiki/(.+)")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_PLAIN = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True)
class Aliases:
    """Other names of entities, and what the files held."""

    names: dict[str, list[str]]
    """by IRI; of an entity that has none, nothing"""
    counts: dict[str, int]


def aliases_of(entities: Collection[str], paths: Sequence[Path]) -> Aliases:
    """Other names of entities, from local dumps.

    Args:
        entities: IRIs without brackets; what other entities are called is not kept.
        paths: N-Triples, plain or compressed: labels and alternative labels (English or without
            language), and redirects (``wikiPageRedirects``), whose subject is a name. What
            Wikidata calls an item counts, where ``owl:sameAs`` or ``schema:about`` in one of the
            files says which entity that is.

    Raises:
        NotFoundError, InputError: a file is missing, cannot be read or holds no triple.
    """
    wanted = _Wanted({iri.encode(): iri for iri in entities})
    for path in paths:
        for line in _lines(path):
            if any(link in line for link in _LINKING) and (parts := _TRIPLE.match(line)):
                wanted.link(parts)
    found: dict[str, dict[str, None]] = {}
    counts = {"alias_lines": 0, "alias_matches": 0, "wikidata_ids": len(wanted.ids)}
    for path in paths:
        for parts in _triples(path):
            counts["alias_lines"] += 1
            if named := _alias(parts, wanted):
                counts["alias_matches"] += 1
                if len(known := found.setdefault(named[0], {})) < MOST:
                    known[named[1]] = None
    counts["aliases_found"] = sum(map(len, found.values()))
    return Aliases({iri: list(names) for iri, names in found.items()}, counts)


@dataclass
class _Wanted:
    """The entities whose names are looked for, and the Wikidata items that they are."""

    iris: dict[bytes, str]
    ids: dict[bytes, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        pages = (iri for iri in self.iris.values() if iri.startswith(RESOURCE))
        self._pages = {unquote(iri[len(RESOURCE) :]): iri for iri in pages}

    def link(self, parts: re.Match[bytes]) -> None:
        """Learn from a triple which item an entity is, whichever of them stands first."""
        one, other = parts["s"], parts["o"] or b""
        for entity, item in ((one, other), (other, one)):
            found, iri = _WIKIDATA.fullmatch(item), self.iris.get(entity) or self._page(entity)
            if found and iri:
                self.ids.setdefault(found[1], iri)

    def _page(self, address: bytes) -> str | None:
        """The entity that an article of the English Wikipedia is about."""
        found = _ARTICLE.fullmatch(address.decode("utf-8", "replace"))
        return self._pages.get(unquote(found[1])) if found else None

    def of(self, name: bytes) -> str | None:
        """The entity that an IRI names, by its own or by an item."""
        iri = self.iris.get(name)
        if iri is None and self.ids and (item := _WIKIDATA.fullmatch(name)):
            iri = self.ids.get(item[1])
        return iri


def _alias(parts: re.Match[bytes], wanted: _Wanted) -> tuple[str, str] | None:
    subject, predicate, target, text = parts["s"], parts["p"], parts["o"], parts["text"]
    if target is not None:
        iri = wanted.of(target) if predicate.endswith(b"wikiPageRedirects") else None
        name = label(subject.decode("utf-8", "replace")) if iri else None
        return (iri, name) if iri and name else None
    iri = wanted.of(subject) if predicate.endswith(_NAMING) else None
    if iri is None or parts["lang"] not in (None, b"en"):
        return None
    try:
        name = _unescape(text.decode()).strip()
    except UnicodeDecodeError:
        return None
    return (iri, name) if name else None


def domains_of(path: Path) -> dict[str, str]:
    """The class that each relation is about, from an ontology: its domain, else its range.

    Args:
        path: N-Triples (``.nt``, ``.ttl`` with one full triple a line) or RDF/XML (``.owl``,
            ``.rdf``, ``.xml``); packed or not.

    Returns:
        Relation's IRI -> local name of the class, such as ``Person``.
    """
    found: dict[str, dict[str, str]] = {}
    xml = bare(path.name).endswith((".owl", ".rdf", ".xml"))
    for relation, kind, about in _xml_classes(path) if xml else _triple_classes(path):
        found.setdefault(relation, {}).setdefault(kind, re.split(r"[/#]", about)[-1])
    return {name: kinds.get("domain") or kinds["range"] for name, kinds in found.items()}


def _triple_classes(path: Path) -> Iterator[tuple[str, str, str]]:
    for parts in _triples(path):
        kind = parts["p"].rpartition(b"#")[2].decode("ascii", "replace")
        if kind in ("domain", "range") and parts["o"] is not None:
            yield parts["s"].decode("utf-8", "replace"), kind, parts["o"].decode("utf-8", "replace")


def _triples(path: Path) -> Iterator[re.Match[bytes]]:
    """The triples of a file.

    Raises:
        NotFoundError, InputError: it is missing, cannot be read or holds none.
    """
    parts = None
    for line in _lines(path):
        if found := _TRIPLE.match(line):
            yield (parts := found)
    if parts is None:
        raise InputError(f"{path}: no triple in it; expected N-Triples, <…> <…> <…> . a line")


def _xml_classes(path: Path) -> Iterator[tuple[str, str, str]]:
    from xml.etree import ElementTree

    rdf = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
    rdfs = "{http://www.w3.org/2000/01/rdf-schema#}"
    known = False
    try:
        with _open(path) as handle:
            for _, element in ElementTree.iterparse(handle):
                relation = element.get(f"{rdf}about")
                for kind in ("domain", "range") if relation else ():
                    for child in element.findall(f"{rdfs}{kind}"):
                        if about := child.get(f"{rdf}resource"):
                            yield str(relation), kind, about
                if relation:
                    known = True
                    element.clear()
    except (ElementTree.ParseError, *BROKEN, OSError) as error:
        raise InputError(f"{path}: not readable as RDF/XML ({error})") from error
    if not known:
        raise InputError(f"{path}: no description in it; expected RDF/XML with rdf:about")


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with _open(path) as handle:
            while line := handle.readline(LINE_LIMIT):
                yield line
    except (*BROKEN, OSError) as error:
        raise InputError(f"{path}: cannot be read further ({error})") from error


def _open(path: Path) -> IO[bytes]:
    if not path.is_file():
        raise NotFoundError(f"no such file: {path}")
    return opened(path)


def _unescape(text: str) -> str:
    def plain(found: re.Match[str]) -> str:
        code = found[1] or found[2]
        if code:
            number = int(code, 16)
            return chr(number) if number < 0xD800 or 0xDFFF < number < 0x110000 else ""
        return _PLAIN.get(found[3], found[3])

    return _ESCAPE.sub(plain, text) if "\\" in text else text
