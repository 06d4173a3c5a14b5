"""Cutting a text into passages of so many tokens, at the borders of sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from lorepack.errors import InputError
from lorepack.facts.documents.sentences import sentences
from lorepack.facts.documents.tokens import Count, words_and_signs

_WORD = re.compile(r"\S+")


class Span(NamedTuple):
    """A part of a text: ``text[start:end]``."""

    start: int
    end: int


class _Piece(NamedTuple):
    """A part that stays whole, and its tokens with the white space before it."""

    start: int
    end: int
    tokens: int


def check_sizes(size: int, overlap: int) -> None:
    """See that passages of this size and overlap can be cut.

    Raises:
        InputError: they cannot.
    """
    if size < 1:
        raise InputError(f"size {size}: a passage has at least 1 token")
    if not 0 <= overlap <= size // 2:
        raise InputError(f"overlap {overlap}: expected 0 to {size // 2}, half of size {size}")


def cut(text: str, size: int, overlap: int, count: Count = words_and_signs) -> list[Span]:
    """Cut a text into passages.

    A passage begins and ends with a sentence. It repeats at its beginning the last whole
    sentences of the one before it that fit into ``overlap``. A sentence of more than ``size``
    tokens is cut between words, and a word of more than that inside.

    Args:
        text: cleaned.
        size: most tokens of a passage, counted sentence by sentence.
        overlap: most tokens that a passage shares with the one before it.
        count: counts the tokens of each of several texts.

    Returns:
        The passages in order. Together they hold every character that is no white space.

    Raises:
        InputError: size or overlap cannot be.
    """
    check_sizes(size, overlap)
    pieces = list(_pieces(text, size, count))
    spans, first = [], 0
    while first < len(pieces):
        last, tokens = first, pieces[first].tokens
        while last + 1 < len(pieces) and tokens + pieces[last + 1].tokens <= size:
            last += 1
            tokens += pieces[last].tokens
        spans.append(Span(pieces[first].start, pieces[last].end))
        first = _next_first(pieces, first, last, size, overlap)
    return spans


def _next_first(pieces: list[_Piece], first: int, last: int, size: int, overlap: int) -> int:
    """Where the next passage begins: as far back as the overlap allows, but further on."""
    begin = last + 1
    if begin == len(pieces):
        return begin
    room = min(overlap, size - pieces[begin].tokens)
    while begin - 1 > first and pieces[begin - 1].tokens <= room:
        begin -= 1
        room -= pieces[begin].tokens
    return begin


def _pieces(text: str, size: int, count: Count) -> Iterator[_Piece]:
    """Sentences, and the parts of those that are too long."""
    before = 0
    for piece in _counted(text, sentences(text), before, count):
        if piece.tokens <= size:
            yield piece
        else:
            yield from _parts(text, piece, before, size, count)
        before = piece.end


def _counted(text: str, spans: list[tuple[int, int]], before: int, count: Count) -> list[_Piece]:
    starts = [before, *(end for _, end in spans)]  # white space belongs to what follows
    texts = [text[left:end] for left, (_, end) in zip(starts, spans, strict=False)]
    return [_Piece(*span, n) for span, n in zip(spans, count(texts), strict=True)]


def _parts(text: str, sentence: _Piece, before: int, size: int, count: Count) -> Iterator[_Piece]:
    """As many words as fit, again and again; ``before`` is where the sentence before ends."""
    words = [m.span() for m in _WORD.finditer(text, sentence.start, sentence.end)]
    held: _Piece | None = None
    for word in _counted(text, words, before, count):
        if held and held.tokens + word.tokens <= size:
            held = _Piece(held.start, word.end, held.tokens + word.tokens)
        else:
            if held:
                yield held
            *whole, held = _halves(text, word, before, size, count)
            yield from whole
        before = word.end
    if held:
        yield held


def _halves(text: str, word: _Piece, before: int, size: int, count: Count) -> list[_Piece]:
    """A word in parts that fit, the white space from ``before`` on counted with the first.

    A single character is never cut.
    """
    done: list[_Piece] = []
    todo = [word]
    while todo:
        part = todo.pop()
        if part.tokens <= size or part.end - part.start < 2:
            done.append(part)
            continue
        middle = (part.start + part.end) // 2
        left = before if part.start == word.start else part.start
        first, second = count([text[left:middle], text[middle : part.end]])
        todo += [_Piece(middle, part.end, second), _Piece(part.start, middle, first)]
    return done
