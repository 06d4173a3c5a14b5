"""``docs``: documents of many kinds, cleaned and cut into passages, near-duplicates removed.

A source is a file or a folder, or several: txt, md, html, pdf, docx, epub, or records that hold a
text each (jsonl, json). A row is a passage, which is kept or set aside as ``near_duplicate``; or a
document that cannot be read, with the reason; or a file of a kind that is not read, which is
counted.

Of a record, the text stands in ``text`` or ``normalized_text``, or where ``columns`` says; its
``title``, ``id``, ``language`` and ``date`` are taken where it has them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from lorepack.errors import InputError, NotFoundError, suggest
from lorepack.facts.documents import (
    READERS,
    Document,
    Seen,
    check_sizes,
    clean,
    cut,
    files_in,
    language_of,
    read_document,
    suffix_count,
    words_and_signs,
)
from lorepack.facts.documents.document import told_date, told_language, told_title
from lorepack.facts.documents.epub import Incomplete
from lorepack.facts.importing.format import Counted, Format, Item, Options, Where
from lorepack.facts.importing.published import Rows, first_of, label, records
from lorepack.facts.importing.registry import HOMES, head_of, named
from lorepack.facts.importing.streams import kind_of
from lorepack.facts.importing.values import as_record, found
from lorepack.facts.passage import Passage
from lorepack.facts.rows import RowError, show_names

_RECORDS = frozenset({".jsonl", ".ndjson", ".json"})
_TABLES = frozenset({".csv", ".tsv", ".parquet", ".pq"})
_TEXTS = ("text", "normalized_text")
_IDS = ("id", "doc_id", "document_id")
_COLUMNS = ("text", "title", "id", "language", "date")
_MAGIC = {".pdf": b"%PDF", ".docx": b"PK\x03\x04", ".epub": b"PK\x03\x04"}
_ABOUT_FILES = frozenset({"readme", "license", "copying", "changelog", "notice", "contributing"})


class Source(NamedTuple):
    """A document and what it is called."""

    document: Document
    name: str
    file: str
    line: int | None
    """of a record"""


@dataclass(frozen=True)
class Piece:
    """A passage, and what becomes of it."""

    passage: Passage
    first: bool
    """it begins its document"""
    fault: RowError | None

    def __str__(self) -> str:
        return self.passage.text


@dataclass(frozen=True)
class Docs:
    """Documents as passages."""

    name: str = "docs"
    about: str = "documents, or a folder of them: txt, md, html, pdf, docx, epub, jsonl of texts"
    takes: frozenset[str] = frozenset(
        {"also", "columns", "size", "overlap", "similarity", "tokenizer"}
    )
    yields: str = "passages"

    def fits(self, path: Path, head: bytes) -> bool:
        """Whether it is a document, texts without questions, or a folder of documents alone."""
        if path.is_dir():
            return _is_library(path) and not _is_data_set(path, head)
        if kind_of(path) in _RECORDS:
            first = first_of(path, head) or {}
            is_text = any(isinstance(first.get(name), str) for name in _TEXTS)
            return is_text and not {"question", "answer"} & first.keys() and _is_alone(path, head)
        return _is_document(path, head) and _is_alone(path, head)

    def rows(self, path: Path, options: Options) -> Rows:
        """The passages of each document, and what is set aside."""
        _check(options)
        with Seen(options.similarity) as seen:
            for where, raw in _all_documents((path, *options.also), options):
                if isinstance(raw, Source):
                    yield from _passages(where.file, raw, options, seen)
                else:
                    yield where, raw

    def items(self, raw: Any, options: Options) -> Iterable[Item]:
        """The passage of a row; the first one of a document counts it."""
        if isinstance(raw, Counted):
            yield raw
            return
        piece: Piece = raw
        if piece.first:
            yield Counted("documents")
        if piece.fault:
            raise piece.fault
        yield piece.passage


def _check(options: Options) -> None:
    check_sizes(options.size, options.overlap)
    wrong = [name for name in options.columns if name not in _COLUMNS]
    if wrong:
        raise InputError(f"a document has no field {wrong[0]!r}{suggest(wrong[0], _COLUMNS)}")


def _all_documents(paths: Sequence[Path], options: Options) -> Rows:
    """The documents of all sources; of several, their names say where they lie.

    Raises:
        NotFoundError: a source is not there.
        InputError: one is given twice, or cannot be read.
    """
    places = [path.absolute() for path in paths]
    for path, place in zip(paths, places, strict=True):
        if not path.exists():
            raise NotFoundError(f"no such file: {path}")
        if places.count(place) > 1:
            raise InputError(f"{path} is given twice")
    root = Path(os.path.commonpath(places))
    for path, place in zip(paths, places, strict=True):
        folder = place if path.is_dir() else place.parent
        inside = "" if len(paths) == 1 or folder == root else f"{folder.relative_to(root)}/"
        yield from _documents(path, inside, options)


def _documents(path: Path, inside: str, options: Options) -> Rows:
    """The documents of a source, each as a `Source`, a `RowError` or a `Counted`."""
    for file in files_in(path):
        file = file._replace(name=inside + file.name)
        where, suffix = Where(file.path, 1), file.path.suffix.lower()
        if file.skipped:
            yield where, Counted(file.skipped)
        elif suffix in READERS:
            source = _attempt(partial(_of_file, file.path, file.name))
            yield where, source
            if isinstance(source, Source) and isinstance(source.document, Incomplete):
                yield from [(where, Counted("missing_chapters"))] * source.document.missing
        elif kind_of(file.path) in _RECORDS:
            yield from _records(file.path, file.name, options, alone=not path.is_dir())
        elif path.is_dir():
            yield where, Counted(suffix_count(file.path))
        else:
            kinds = " ".join(sorted(READERS.keys() | _RECORDS))
            raise InputError(f"{path}: no kind of document that is read here; expected {kinds}")


def _attempt(read: Callable[[], Source]) -> Source | RowError:
    try:
        return read()
    except RowError as error:
        return error


def _of_file(path: Path, name: str) -> Source:
    return Source(read_document(path), name, name, None)


def _records(path: Path, name: str, options: Options, *, alone: bool) -> Rows:
    """The texts of a file of records; where it stands among others, its end is not theirs."""
    count = 0
    try:
        for count, (where, raw) in enumerate(records(path), 1):  # noqa: B007 - counted
            if isinstance(raw, RowError):
                yield where, raw
            else:
                yield where, _attempt(partial(_of_record, raw, name, where.line, options.columns))
    except InputError as error:
        if alone:
            raise
        yield Where(path, count + 1), RowError("unreadable", str(error))
        return
    if not count:
        yield Where(path, 1), RowError("no_text", "no record in this file")


def _of_record(raw: Any, file: str, line: int, columns: Mapping[str, str]) -> Source:
    record = as_record(raw)

    def value(field: str, names: Iterable[str]) -> Any:
        given = (found(record, columns[field]),) if field in columns else map(record.get, names)
        return next((x for x in given if x is not None), None)

    text = value("text", _TEXTS)
    if text is None:
        where = columns.get("text", "text")
        raise RowError("schema_missing", f"no {where!r}; the row has: {show_names(record)}")
    if not isinstance(text, str):
        raise RowError("schema_type", f"the text is {type(text).__name__}; expected text")
    if not _is_unicode(text):
        raise RowError("schema_encoding", "the text is not valid UTF-8")
    document = Document(
        clean(text),
        title=told_title(label(value("title", ("title",)))),
        language=told_language(label(value("language", ("language", "lang")))),
        date=told_date(label(value("date", ("date",)))),
    )
    if not document.text:
        raise RowError("no_text", "the document has no text")
    return Source(document, label(value("id", _IDS)) or f"{file}#{line}", file, line)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _passages(path: Path, source: Source, options: Options, seen: Seen) -> Iterator[Any]:
    document = source.document
    language = document.language or language_of(document.text)
    spans = cut(document.text, options.size, options.overlap, options.tokenizer or words_and_signs)
    for number, (start, end) in enumerate(spans, 1):
        page = document.page_of(start)
        passage = Passage(
            document.text[start:end],
            title=document.title,
            document=source.name,
            source=source.file,
            page=page,
            start=start,
            end=end,
            language=language,
            date=document.date,
        )
        earlier = seen.like(passage.text, passage.id)
        fault = None
        if earlier:
            told = f"{earlier[1]:.2f} alike: passage {earlier[0]}"
            this = f"{source.name}, characters {start} to {end}"
            fault = RowError("near_duplicate", f"{told} is kept, this one is not ({this})")
        yield Where(path, source.line or page or number), Piece(passage, number == 1, fault)


def _is_document(path: Path, head: bytes) -> bool:
    suffix = path.suffix.lower()
    if suffix in _MAGIC:
        return head.startswith(_MAGIC[suffix])
    return suffix in READERS and (b"\0" not in head or head.startswith((b"\xff\xfe", b"\xfe\xff")))


def _is_alone(path: Path, head: bytes) -> bool:
    """Whether no format that knows more of it fits; tables need questions, and ask this one."""
    others = [name for name, home in HOMES.items() if home not in ("docs", "tabular")]
    return not any(named(name).fits(path, head) for name in others)


def _is_library(folder: Path) -> bool:
    """Whether a folder has a document, beside those that come with every folder, and no table."""
    documents = False
    for file in islice(files_in(folder), 10_000):
        if kind_of(file.path) in _TABLES:
            return False
        comes_along = file.path.stem.lower() in _ABOUT_FILES
        is_document = file.path.suffix.lower() in READERS and not file.skipped
        documents = documents or (is_document and not comes_along)
    return documents


def _is_data_set(folder: Path, head: bytes) -> bool:
    """Whether the folder, or the records in it, are of another format."""
    if not _is_alone(folder, head):
        return True
    files = (file.path for file in files_in(folder) if not file.skipped)
    tables = [file for file in files if kind_of(file) in _RECORDS][:20]
    return any(not DOCS.fits(file, head_of(file)) for file in tables)


DOCS = Docs()
FORMATS: dict[str, Format] = {"docs": DOCS}
