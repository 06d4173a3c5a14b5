"""News Crawl: news of one year and language, as whole articles or as shuffled sentences.

The document-split files (``news-docs.2020.en.filtered.gz``) have one article a line: the date,
the text with one sentence a line, and the text before it was split, with tabs between them and
both texts in Base64. The passage is the split text, which StreamingQA was written from. Other
files (``news.2020.en.shuffled.deduped.gz``) have one sentence a line and no date but the year in
their name; each sentence is a passage.

An article's id is its day and the SHA-256 of its unsplit text in Base64, which is what StreamingQA
calls it by, with a hyphen between the two.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lorepack.errors import InputError
from lorepack.facts.importing.format import Counted, Format, Item, Options, Where
from lorepack.facts.importing.published import Rows, files_in, passage
from lorepack.facts.importing.streams import lines
from lorepack.facts.packed import is_packed
from lorepack.facts.rows import RowError

UNPACKED_LIMIT = 256 << 20
"""bytes that a compressed file may unpack to, whatever its own size"""
RATIO_LIMIT = 100
"""times its own size that a larger one may unpack to; news does to three to six"""

_ARTICLE = re.compile(
    rb"(?:19|20)\d{6}\t[A-Za-z0-9+/]{16,}={0,2}(?:\t[A-Za-z0-9+/]*={0,2})?\s*"  # or its beginning
)
_NAME = re.compile(r"news(?:-docs)?\.(\d{4})\.([a-z]{2})(?:\.[\w-]+)*", re.IGNORECASE)
_SENTENCES = re.compile(r"news\.\d{4}\.[a-z]{2}\.shuffled(?:\.[\w-]+)*", re.IGNORECASE)
_DAY = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2})?)?")


class Line(NamedTuple):
    """A line of a News Crawl file, and what the file's name says."""

    data: bytes
    year: str | None
    language: str | None
    whole: bool
    """an article; otherwise a sentence"""
    inside: bool = True
    """a sentence within the dates that were asked for"""


@dataclass(frozen=True)
class NewsCrawl:
    """News Crawl files, or a folder of them."""

    name: str = "newscrawl"
    about: str = "News Crawl: articles (news-docs.*.gz) or sentences (news.*.shuffled.*)"
    takes: frozenset[str] = frozenset({"since", "until"})
    yields: str = "passages"

    def fits(self, path: Path, head: bytes) -> bool:
        """Whether its name is one of News Crawl, or its first line an article."""
        if path.is_dir():
            return bool(files_in(path, _NAME))
        first = head.partition(b"\n")[0]
        return bool(_SENTENCES.fullmatch(path.name) or _ARTICLE.fullmatch(first))

    def rows(self, path: Path, options: Options) -> Rows:
        """The lines that are not blank."""
        period(options)
        for file in news_files(path):
            yield from _rows(file, options)

    def items(self, raw: Any, options: Options) -> Iterable[Item]:
        """The passage of a line, where it lies within the dates that were asked for."""
        line: Line = raw
        if line.whole:
            key, date = identity(line.data)
            if in_period(date, options):
                text = article_text(line.data)
                return [_passage(text, document=key, date=date, language=line.language)]
        elif line.inside:
            text = _decoded(line.data, "line").strip()
            return [_passage(text, date=line.year, language=line.language)]
        return [Counted("outside_dates")]


_passage = functools.partial(passage, source="newscrawl")


def news_files(path: Path) -> list[Path]:
    """The News Crawl files of a folder, by name; the file itself where it is no folder.

    Raises:
        InputError: the folder has none, or cannot be read.
    """
    if not path.is_dir():
        return [path]
    files = files_in(path, _NAME)
    if not files:
        raise InputError(f"{path}: no file such as news-docs.2020.en.filtered.gz in this folder")
    return files


def _rows(path: Path, options: Options) -> Rows:
    named = _NAME.fullmatch(path.name)
    year, language = (named[1], named[2].lower()) if named else (None, None)
    whole, inside = path.name.lower().startswith("news-docs."), None
    for number, data in bounded_lines(path):
        if data.isspace():
            continue
        whole = whole or bool(_ARTICLE.fullmatch(data))
        if not whole and inside is None:
            inside = _in_year(path, year, options)
        yield Where(path, number), Line(data, year, language, whole, bool(inside))


def bounded_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield ``(number, line)``, as long as a compressed file unpacks to a size that news may have.

    Raises:
        InputError: it cannot be read, or unpacks to far more than news does.
    """
    most = max(UNPACKED_LIMIT, RATIO_LIMIT * path.stat().st_size) if path.is_file() else 0
    size = 0
    for number, data in lines(path):
        size += len(data)
        if is_packed(path) and size > most:
            raise InputError(
                f"{path}:{number}: unpacks to more than {RATIO_LIMIT} times its size; "
                "no News Crawl file does"
            )
        yield number, data


def identity(line: bytes) -> tuple[str, str]:
    """The id and the date (ISO 8601) of an article, without a look at its texts.

    Raises:
        RowError: the line is none of an article.
    """
    cells = line.strip().split(b"\t")
    if len(cells) != 3:
        raise RowError("schema_cells", f"{len(cells)} cells; expected date, text, unsplit text")
    try:
        date = datetime.datetime.strptime(cells[0].decode("ascii"), "%Y%m%d").date().isoformat()
    except ValueError:
        shown = cells[0][:20].decode("ascii", "replace")
        raise RowError("schema_date", f"{shown!r} is no day such as 20200131") from None
    return f"{date}-{hashlib.sha256(cells[2]).hexdigest()}", date


def article_text(line: bytes) -> str:
    """The text of an article, one sentence a line.

    Raises:
        RowError: it cannot be decoded.
    """
    try:
        data = base64.b64decode(line.strip().split(b"\t")[1], validate=True)
    except (binascii.Error, IndexError) as error:
        raise RowError("schema_base64", f"the text is not Base64 ({error})") from None
    return _decoded(data, "text").strip()


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise RowError("schema_encoding", f"the {name} is not UTF-8 ({error.reason})") from None


def period(options: Options) -> tuple[str | None, str | None]:
    """First and last date, as they were given.

    Raises:
        InputError: one is no date.
    """
    for name, given in (("since", options.since), ("until", options.until)):
        if given is None:
            continue
        try:
            if not _DAY.fullmatch(given):
                raise ValueError
            datetime.date.fromisoformat(given + "0000-01-01"[len(given) :])
        except ValueError:
            raise InputError(
                f"--{name} {given[:40]!r} is no date; expected 2020, 2020-01 or 2020-01-31"
            ) from None
    return options.since, options.until


def in_period(date: str, options: Options) -> bool:
    """Whether a day (ISO 8601) lies between first and last date, both included."""
    since, until = options.since, options.until
    return (since is None or date >= since) and (until is None or date[: len(until)] <= until)


def _in_year(path: Path, year: str | None, options: Options) -> bool:
    """Whether a file of sentences lies in the period, as a whole.

    Raises:
        InputError: only a part of its year does, or its name says no year.
    """
    if options.since is None and options.until is None:
        return True
    if year is None:
        raise InputError(
            f"{path}: sentences without dates; leave out --since and --until, or name the file "
            "such as news.2020.en.shuffled"
        )
    first, last = (in_period(f"{year}-{day}", options) for day in ("01-01", "12-31"))
    if first and last:
        return True
    begins = options.since is not None and options.since[:4] == year and not first
    ends = options.until is not None and options.until[:4] == year and not last
    if begins or ends:
        raise InputError(
            f"{path}: its sentences are of {year} and have no dates of their own; "
            "--since and --until must hold the whole year or none of it"
        )
    return False


FORMATS: dict[str, Format] = {"newscrawl": NewsCrawl()}
