"""Plain text and Markdown."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from typing import Any

from lorepack.facts.documents.cleaning import clean
from lorepack.facts.documents.document import Document, told_date, told_language, told_title
from lorepack.facts.documents.extra import library
from lorepack.facts.rows import RowError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_FRONT = re.compile(  # between lines of hyphens; only what looks like YAML, not text
    r"---[ \t]*\n((?:(?!---|\.\.\.)(?:[ \t#-][^\n]*|[\w.-]+[ \t]*:[^\n]*|)\n)*+)"
    r"(?:---|\.\.\.)[ \t]*(?:\n|\Z)"
)
_FIELD = re.compile(r"^(title|date|lang|language):[ \t]*(.+)", re.IGNORECASE | re.MULTILINE)
_TAG = re.compile(r"<!--.*?-->|<[^<>]*>", re.DOTALL)


def decoded(data: bytes) -> str:
    """Text from bytes: UTF-8, or what their byte-order mark says.

    Raises:
        RowError: another encoding, or no text at all.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise RowError(
            "schema_encoding",
            f"not valid {encoding.upper()} at byte {error.start:,}; save as UTF-8",
        ) from None
    if "\0" in text:
        raise RowError("schema_encoding", "NUL bytes: no text file")
    return text.removeprefix("\ufeff")


def read_text(data: bytes) -> Document:
    """A plain text.

    Raises:
        RowError: no text.
    """
    return Document(clean(decoded(data)))


def read_markdown(data: bytes) -> Document:
    """Markdown without its markup: a block a paragraph, links and pictures as their words.

    The title is that of the front matter, or the first heading of the first level.

    Raises:
        RowError: no text.
        InputError: markdown-it-py is not installed.
    """
    text = decoded(data).replace("\r\n", "\n")
    front = _FRONT.match(text)
    told = {}
    if front:
        text = text[front.end() :]
        told = {m[1].lower(): m[2].strip(" \t\"'") for m in _FIELD.finditer(front[1])}
    tokens = _parsed(text)
    heading = next(
        (
            _words(tokens[i + 1].children)
            for i, token in enumerate(tokens)
            if token.type == "heading_open" and token.tag == "h1"
        ),
        None,
    )
    return Document(
        clean("".join(_blocks(tokens))),
        title=told_title(told.get("title") or heading),
        language=told_language(told.get("lang") or told.get("language")),
        date=told_date(told.get("date")),
    )


def _parsed(text: str) -> list[Any]:
    module = library("markdown_it", "Markdown")
    # By itself it passes over what lies deeper than 20 levels.
    parser = module.MarkdownIt("commonmark", {"maxNesting": 1_000_000})
    try:
        return list(parser.enable(["table", "strikethrough"]).parse(text))
    except RecursionError:
        raise RowError("too_deep", "quotes, lists or pictures nested too deep") from None


def _blocks(tokens: Iterable[Any]) -> Iterable[str]:
    numbers: list[int | None] = []  # of the lists that are open; None where they have none
    before = ""
    for token in tokens:
        match token.type:
            case "inline":
                yield _words(token.children)
            case "fence" | "code_block":
                yield f"{token.content}\n"
            case "html_block":
                yield _TAG.sub("", token.content) + "\n"
            case "bullet_list_open":
                numbers.append(None)
            case "ordered_list_open":
                numbers.append(int(token.attrGet("start") or 1))
            case "bullet_list_close" | "ordered_list_close":
                numbers.pop()
                yield "\n"
            case "list_item_open":
                number = numbers[-1]
                yield "- " if number is None else f"{number}. "
                numbers[-1] = None if number is None else number + 1
            case "td_open" | "th_open" if before != "tr_open":
                yield " | "
            case "paragraph_close":
                yield "\n" if token.hidden else "\n\n"
            case "heading_close" | "table_close":
                yield "\n\n"
            case "tr_close":
                yield "\n"
            case "list_item_close" if before == "list_item_open":
                yield "\n"
        before = token.type


def _words(tokens: Iterable[Any] | None) -> str:
    parts: list[str] = []
    for token in tokens or ():
        match token.type:
            case "text" | "code_inline" | "text_special":
                parts.append(token.content)
            case "softbreak":
                parts.append(" ")
            case "hardbreak":
                parts.append("\n")
            case "image":
                parts.append(_words(token.children))
    return "".join(parts)
