"""What a relation is about: its domain, from the facts, a given map, or an ontology."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lorepack import files
from lorepack.errors import InputError, NotFoundError, suggest
from lorepack.facts import Fact
from lorepack.facts.dbpedia.extras import domains_of
from lorepack.facts.dbpedia.labels import relation_name

_TABLES = {".csv": ",", ".tsv": "\t"}
_DOCUMENTS = (".json", ".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Domains:
    """The domain of each fact: that of its relation where one is given, else its own."""

    source: str | None = None
    """``map`` or ``ontology``; None where only the facts say"""
    by_relation: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(
        cls, given: Path | str | None = None, ontology: Path | str | None = None
    ) -> Domains | None:
        """Domains from files.

        Args:
            given: relation to domain: a JSON or YAML object, or a CSV or TSV file of two columns.
            ontology: N-Triples or RDF/XML with ``rdfs:domain`` (else ``rdfs:range``) of relations.

        Returns:
            The domains; None when neither is given.

        Raises:
            NotFoundError: no such file.
            InputError: both are given, or the file does not say which relation has which domain.
        """
        if given is not None and ontology is not None:
            raise InputError("domains come from a map or from an ontology; give one of the two")
        if given is not None:
            return cls("map", dict(_pairs(Path(given))))
        return None if ontology is None else cls("ontology", _relations(Path(ontology)))

    def of(self, fact: Fact) -> str | None:
        """The domain of a fact; None where nothing says it."""
        return self.by_relation.get(fact.relation or "") or fact.domain

    def check(self, facts: Sequence[Fact]) -> None:
        """Refuse a file that is about other relations.

        Raises:
            InputError: the facts have relations, and the file knows none of them.
        """
        relations = sorted({fact.relation for fact in facts if fact.relation})
        if self.source and relations and not any(name in self.by_relation for name in relations):
            first = relations[0]
            raise InputError(
                f"the {self.source} of domains names {len(self.by_relation)} relations, none of "
                f"the facts' {len(relations)}; first {first!r}{suggest(first, self.by_relation)}"
            )

    def found_in(self, facts: Sequence[Fact]) -> str:
        """Where domains come from, ``facts``, ``map``, ``ontology`` or ``none``."""
        return self.source or ("facts" if any(fact.domain for fact in facts) else "none")

    def to_json(self) -> dict[str, Any]:
        """The source, how many relations it names, and their hash: a map may be long."""
        named = dict(self.by_relation)
        return {"from": self.source, "relations": len(named), "sha256": files.hash_of(named)}


def _relations(path: Path) -> dict[str, str]:
    """Domains by any of the names that facts may call a relation by: the short name of our
    importer, the IRI, its last part."""
    found: dict[str, str] = {}
    for iri, domain in domains_of(path).items():
        for name in (relation_name(iri), iri, re.split(r"[/#]", iri)[-1]):
            found.setdefault(name, domain)
    if not found:
        raise InputError(f"{path}: no relation with a domain or range in it")
    return found


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    kind = path.suffix.lower()
    if kind not in (*_TABLES, *_DOCUMENTS):
        known = ", ".join((*_DOCUMENTS, *_TABLES))
        raise InputError(f"{path}: a map of domains is one of {known}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise NotFoundError(f"no such file: {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error
    yield from _rows(path, text, _TABLES[kind]) if kind in _TABLES else _items(path, text)


def _rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[str, str]]:
    for number, row in enumerate(csv.reader(text.splitlines(), delimiter=delimiter), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and cells == ["relation", "domain"]):
            continue
        if len(cells) != 2 or not all(cells):
            raise InputError(f"{path}:{number}: expected relation and domain, got {row}")
        yield cells[0], cells[1]


def _items(path: Path, text: str) -> Iterator[tuple[str, str]]:
    try:
        value = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({first})") from error
    if not isinstance(value, dict):
        raise InputError(
            f"{path}: expected an object, relation: domain; got {type(value).__name__}"
        )
    for relation, domain in value.items():
        if not isinstance(relation, str) or not isinstance(domain, str) or not domain:
            raise InputError(f"{path}: expected relation: domain, got {relation!r}: {domain!r}")
        yield relation, domain
