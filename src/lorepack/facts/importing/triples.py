"""Triples of subject, relation and object: tables, N-Triples and the simple lines of Turtle.

The question of a triple comes from a template of its relation: the first wording is the question,
the others are paraphrases. Neighbouring lines with one subject and relation are a group, and only
a group with exactly one object makes a fact (arXiv 2502.14502): a question with several right
answers would count right ones as wrong. The label of an IRI is its last segment, percent-decoded,
with spaces for underscores; blank nodes and sections of pages (``Name__1``) have none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from lorepack.errors import InputError
from lorepack.facts.importing.format import Format, Item, Options, Where
from lorepack.facts.importing.registry import named
from lorepack.facts.importing.streams import kind_of, lines
from lorepack.facts.importing.templates import wordings_of
from lorepack.facts.importing.values import fact
from lorepack.facts.rows import RowError
from lorepack.text import matches

_HEADER = ({"subject"}, {"relation", "predicate", "property"}, {"object"})


class Iri(str):
    """A name of the web; other terms are texts."""


class Triple(NamedTuple):
    """Three terms as the file spells them, without brackets and quotes."""

    subject: str
    relation: str
    object: str


Rows = Iterator[tuple[Where, Any]]


@dataclass(frozen=True)
class Triples:
    """A format of triples."""

    name: str
    about: str
    reader: Callable[[Path], Rows]
    suits: Callable[[Path, bytes], bool]
    takes: frozenset[str] = frozenset({"templates"})
    yields: str = "facts"

    def fits(self, path: Path, head: bytes) -> bool:
        """Whether the name and the first line say so."""
        return self.suits(path, head)

    def rows(self, path: Path, options: Options) -> Rows:
        """The triples; those that share subject and relation with a neighbour as rejected."""
        wordings_of("", options.templates)  # a broken file of templates is told before all else
        return alone(self.reader(path))

    def items(self, raw: Any, options: Options) -> Iterable[Item]:
        """The one fact of a triple."""
        subject, relation, answer = label(raw.subject), local_name(raw.relation), label(raw.object)
        wordings = wordings_of(relation, options.templates)
        if not wordings:
            raise RowError("no_template", f"no question for the relation {relation[:80]!r}")
        question, *others = (wording.replace("{s}", subject) for wording in wordings)
        # Also inside a word: "German" is no riddle about "Germany".
        if answer.casefold() in subject.casefold() or matches(question, [answer]):
            raise RowError("answer_in_question", f"{answer[:40]!r} stands in its question")
        return [fact(question, answer, others, subject=subject, relation=relation, object=answer)]


def alone(rows: Rows) -> Rows:
    """Triples that are the only ones of their group; the others with the reason.

    One triple is held back at most, so that a group may be of any size.
    """
    held: tuple[Where, Triple] | None = None
    group: tuple[str, str] | None = None
    try:
        for where, raw in rows:
            if isinstance(raw, RowError):
                yield where, raw
            elif raw[:2] != group:
                if held:
                    yield held
                group, held = raw[:2], (where, raw)
            elif held is None:
                yield where, _one_of_several(raw)
            elif held[1].object == raw.object:
                yield where, RowError("repeat", f"the same triple as on line {held[0].line}")
            else:
                yield held[0], _one_of_several(held[1])
                yield where, _one_of_several(raw)
                held = None
    except InputError:
        if held:  # it was whole before the file broke off
            yield held
        raise
    if held:
        yield held


def _one_of_several(triple: Triple) -> RowError:
    told = f"{triple.relation[:80]} of {triple.subject[:80]}"
    return RowError("several_objects", f"{told} has several objects; one is {triple.object[:80]}")


def label(term: str) -> str:
    """What people call a term: the words of an IRI, or the text itself.

    Raises:
        RowError: it has no label.
    """
    if not isinstance(term, Iri):
        return term
    name = local_name(term)
    text = " ".join(name.replace("_", " ").split())
    if not text or term.startswith("_:") or "__" in name:
        raise RowError("no_label", f"{term[:80]} is a blank node, a section of a page, or a site")
    return text


def local_name(term: str) -> str:
    """The last segment of an IRI, percent-decoded; other terms as they are.

    Raises:
        RowError: it is not valid.
    """
    if not isinstance(term, Iri):
        return term
    _, deep, name = term.partition("/resource/")  # names of DBpedia: AC/DC is one
    if not deep:
        name = re.split("[/#]" if "://" in term else ":", term)[-1]
    try:
        return unquote(name, errors="strict")
    except UnicodeDecodeError:
        raise RowError("schema_encoding", f"{term[:80]} is not valid UTF-8") from None


def table_rows(path: Path) -> Rows:
    """Subject, relation and object between tabs; a header may name and order them."""
    order: tuple[int, ...] = (0, 1, 2)
    cells = 3
    for number, line in lines(path):
        if line.isspace():
            continue
        row = [cell.strip() for cell in line.decode("utf-8", "surrogateescape").split("\t")]
        if number == 1 and (header := _order(row)):
            order, cells = header, len(row)
            continue
        where = Where(path, number)
        if len(row) != cells:
            yield where, RowError("schema_cells", f"{len(row)} cells between tabs, not {cells}")
        elif not all(row[index] for index in order):
            yield where, RowError("schema_missing", "an empty subject, relation or object")
        else:
            yield where, Triple(*(_term(row[index]) for index in order))


def _order(row: list[str]) -> tuple[int, ...] | None:
    """Where a header has subject, relation and object; None where it is no header."""
    names = [name.lower() for name in row]
    found = [[index for index, name in enumerate(names) if name in known] for known in _HEADER]
    return tuple(indices[0] for indices in found) if all(found) else None


def _term(cell: str) -> str:
    bare = cell[1:-1] if cell.startswith("<") and cell.endswith(">") else cell
    return Iri(bare) if bare != cell or cell.startswith(("http://", "https://")) else cell


_IRI = r'<[^<>"{}|^`\x00-\x20]*>'
_LITERAL = r'"[^"\\]*(?:\\.[^"\\]*)*"(?:@[A-Za-z]+(?:-[A-Za-z0-9]+)*|\^\^\S+)?'
_SHORT = r'(?:[A-Za-z][\w-]*)?:[^\s<>"]*[^\s<>".,;]'
_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
_TERM = re.compile(
    rf"\s*(?:({_IRI})|({_LITERAL})|(_:[^\s.]+)|({_SHORT}|a(?=\s))|({_NUMBER}))", re.DOTALL
)
_END = re.compile(r"\s*\.\s*(?:#.*)?", re.DOTALL)
_ESCAPE = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([tbnrf"\'\\]))')
_PLAIN = dict(zip("tbnrf\"'\\", "\t\b\n\r\f\"'\\", strict=True))
_DIRECTIVE = re.compile(rb"\s*(?:@?(?:prefix|base)\s|#|$)", re.IGNORECASE)


def ntriples_rows(path: Path) -> Rows:
    """One triple a line; comments, blank lines and declarations of prefixes are no rows."""
    for number, line in lines(path):
        if _DIRECTIVE.match(line):
            continue
        where = Where(path, number)
        try:
            yield where, _triple(line.decode("utf-8"))
        except UnicodeDecodeError:
            yield where, RowError("schema_encoding", "not valid UTF-8; save the file as UTF-8")
        except RowError as error:
            yield where, error


def _triple(line: str) -> Triple:
    """The triple on a line; a literal without its language or type."""
    terms: list[str] = []
    at = 0
    while len(terms) < 4 and (term := _TERM.match(line, at)):
        at = term.end()
        terms.append(_read(term))
    if not _END.fullmatch(line, at) or len(terms) < 3:
        raise RowError("schema_triple", "expected 'subject relation object .' on one line")
    if not (isinstance(terms[0], Iri) and isinstance(terms[1], Iri)):
        raise RowError("schema_triple", "subject and relation must be IRIs")
    return Triple(*terms[:3])  # a fourth names a graph


def _read(term: re.Match[str]) -> str:
    iri, literal, blank, short, number = term.groups()
    if literal:
        return _unescaped(literal[1 : literal.rindex('"')]).strip()
    if iri:
        return Iri(_unescaped(iri[1:-1]))
    if blank:
        return Iri(blank)
    if short:
        return Iri("rdf:type" if short == "a" else short.replace("\\", ""))
    return number  # type: ignore[no-any-return]


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(_character, text) if "\\" in text else text


def _character(found: re.Match[str]) -> str:
    if found[3]:
        return _PLAIN[found[3]]
    code = int(found[1] or found[2], 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise RowError("schema_encoding", f"{found[0]} is no character")
    return chr(code)


def _table_suits(path: Path, head: bytes) -> bool:
    top = head.partition(b"\n")[0].decode("utf-8-sig", "replace")
    return "\t" in top and _order([name.strip() for name in top.split("\t")]) is not None


def _ntriples_suit(path: Path, head: bytes) -> bool:
    if kind_of(path) not in (".nt", ".nq", ".ttl") or named("dbpedia").fits(path, head):
        return False
    rows = [line for line in head.splitlines() if not _DIRECTIVE.match(line)]
    try:
        return bool(_triple(rows[0].decode("utf-8-sig")))
    except (IndexError, UnicodeDecodeError, RowError):
        return False


FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Triples("triples", "subject, relation, object between tabs", table_rows, _table_suits),
        Triples("ntriples", "N-Triples, or Turtle with one triple a line", ntriples_rows,
                _ntriples_suit),
    )
}  # fmt: skip
