"""What other files say of a dump's names: aliases of entities, classes of relations."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import IO

from lorepack.errors import InputError, NotFoundError
from lorepack.facts.dbpedia.labels import label
from lorepack.facts.packed import BROKEN, bare, opened

LINE_LIMIT = 1 << 20  # bytes; longer lines are no triples of names
MOST = 50  # aliases of one entity
_TRIPLE = re.compile(
    rb"<(?P<s>[^>]*)> <(?P<p>[^>]*)> "
    rb'(?:<(?P<o>[^>]*)>|"(?P<text>(?:[^"\\]|\\.)*)"(?:@(?P<lang>[\w-]+))?)'
)
_NAMING = (b"#label", b"altLabel", b"prefLabel", b"/name", b"#alias")
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_PLAIN = {"n": "\n", "t": "\t", "r": "\r"}


def aliases_of(entities: Collection[str], paths: Iterable[Path]) -> dict[str, list[str]]:
    """Other names of entities, from local dumps.

    Args:
        entities: IRIs without brackets; what other entities are called is not kept.
        paths: N-Triples, plain or compressed: labels and alternative labels (English or without
            language), and redirects (``wikiPageRedirects``), whose subject is a name.

    Raises:
        NotFoundError, InputError: a file is missing or cannot be read.
    """
    wanted = {iri.encode(): iri for iri in entities}
    found: dict[str, dict[str, None]] = {}
    for path in paths:
        for line in _lines(path):
            parts = _TRIPLE.match(line)
            named = parts and _alias(parts, wanted)
            if named and len(known := found.setdefault(named[0], {})) < MOST:
                known[named[1]] = None
    return {iri: list(names) for iri, names in found.items()}


def _alias(parts: re.Match[bytes], wanted: dict[bytes, str]) -> tuple[str, str] | None:
    subject, predicate, target, text = parts["s"], parts["p"], parts["o"], parts["text"]
    if target is not None and predicate.endswith(b"wikiPageRedirects"):
        name = label(subject.decode("utf-8", "replace")) if target in wanted else None
        return (wanted[target], name) if name else None
    english = text is not None and parts["lang"] in (None, b"en") and text.strip()
    if english and subject in wanted and predicate.endswith(_NAMING):
        return wanted[subject], _unescape(text.decode("utf-8", "replace")).strip()
    return None


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
    for line in _lines(path):
        parts = _TRIPLE.match(line)
        if parts and parts["o"] is not None:
            kind = parts["p"].rpartition(b"#")[2].decode("ascii", "replace")
            if kind in ("domain", "range"):
                yield parts["s"].decode("utf-8", "replace"), kind, parts["o"].decode()


def _xml_classes(path: Path) -> Iterator[tuple[str, str, str]]:
    from xml.etree import ElementTree

    rdf = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
    rdfs = "{http://www.w3.org/2000/01/rdf-schema#}"
    try:
        with _open(path) as handle:
            for _, element in ElementTree.iterparse(handle):
                relation = element.get(f"{rdf}about")
                for kind in ("domain", "range") if relation else ():
                    for child in element.findall(f"{rdfs}{kind}"):
                        if about := child.get(f"{rdf}resource"):
                            yield str(relation), kind, about
                if relation:
                    element.clear()
    except (ElementTree.ParseError, *BROKEN, OSError) as error:
        raise InputError(f"{path}: not readable as RDF/XML ({error})") from error


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
            return chr(int(code, 16)) if int(code, 16) < 0x110000 else ""
        return _PLAIN.get(found[3], found[3])

    return _ESCAPE.sub(plain, text) if "\\" in text else text
