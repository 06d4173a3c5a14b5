"""Cleaning: characters that carry no text go away, paragraphs stay."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import zip_longest

from lorepack.facts.documents.tokens import listed

# Control characters, lone surrogates, non-characters, and what only steers the setting of lines.
# The joiners U+200C and U+200D stay: Persian, the scripts of India and emoji are spelled with them.
_NOISE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff]"
)
_NEWLINE = re.compile("\r\n?|[\v\f\u2028\u2029]")
_TWICE_ENCODED = re.compile("[\u00c2-\u00f4][\u0080-\u00bf]{1,3}")
_C1 = re.compile("[\x80-\x9f]")
_SPACES = re.compile(r"[^\S\n]+")
_LINE_ENDS = re.compile(r" ?\n ?")
_BLANK = re.compile(r"\n{3,}")


def clean(text: str) -> str:
    """Text in NFC without control characters; white space squeezed, paragraphs kept.

    Bytes of UTF-8 that were read as another encoding are put right where no doubt is left:
    where they hold control characters that no text has (``â\\x80\\x99`` is ``’``).
    Cleaning twice changes nothing.
    """
    text = _NEWLINE.sub("\n", _repaired(text))
    text = _SPACES.sub(" ", unicodedata.normalize("NFC", _NOISE.sub("", text)))
    return _BLANK.sub("\n\n", _LINE_ENDS.sub("\n", text)).strip()


def _repaired(text: str) -> str:
    if not _C1.search(text):
        return text
    text = _TWICE_ENCODED.sub(_decoded, text)
    return _C1.sub(lambda found: _as_windows(found[0]), text)


def _decoded(found: re.Match[str]) -> str:
    if not _C1.search(found[0]):
        return found[0]  # "Ã©" may be meant
    try:
        return found[0].encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return found[0]


def _as_windows(char: str) -> str:
    """What the byte is in Windows-1252, as browsers read it: ``\\x92`` is ``’``."""
    return char.encode("latin-1").decode("cp1252", "replace").replace("\ufffd", "")


def pages_joined(pages: Sequence[str]) -> tuple[str, tuple[int, ...]]:
    """The pages of a document as one text, and the place where each begins.

    Headers and footers that stand on most pages go away, words that were hyphenated at the end of
    a line are joined, and lines that were wrapped become paragraphs again.
    """
    lines = without_running_lines([clean(page).split("\n") for page in pages])
    width = _usual_width([line for page in lines for line in page])
    told = [_unwrapped(page, width) for page in lines]
    known = {word.lower() for page in told for word in _HYPHENATED.findall(page)}
    starts: list[int] = []
    parts: list[str] = []
    length, last = 0, ""
    for page in told:
        gap = _gap(last, page)
        starts.append(length + len(gap))
        parts += [gap, page]
        length += len(gap) + len(page)
        last = page or last
    text, places = _dehyphenated("".join(parts), starts, known)
    return text.replace(_WRAP, " "), places


_PAGE_NUMBER = re.compile(r"\d+")
_EDGE = 2
"""lines at the top and at the bottom of a page that may be a header or footer"""


def without_running_lines(pages: list[list[str]]) -> list[list[str]]:
    """Pages without the lines at their edges that stand there on most pages; numbers may differ."""
    if len(pages) < 3:
        return pages
    counts = Counter(form for page in pages for form in {_form(page[i]) for i in _edges(page)})
    running = {form for form, n in counts.items() if form and n > len(pages) / 2}
    return [_trimmed(page, running) for page in pages]


def _edges(page: list[str]) -> set[int]:
    filled = [i for i, line in enumerate(page) if line]
    return {*filled[:_EDGE], *filled[-_EDGE:]}


def _form(line: str) -> str:
    return _PAGE_NUMBER.sub("#", " ".join(line.lower().split()))


def _trimmed(page: list[str], running: set[str]) -> list[str]:
    edges = _edges(page)
    return [line for i, line in enumerate(page) if i not in edges or _form(line) not in running]


def _usual_width(lines: list[str]) -> int:
    lengths = sorted(map(len, filter(None, lines)))
    return lengths[len(lengths) * 9 // 10] if lengths else 0


_ITEM = re.compile(r"(?:[-–•*·▪◦]|\(?\d{1,3}[.)]|\(?[a-z]\))\s")


def _unwrapped(lines: list[str], width: int) -> str:
    """Lines that reach the usual width go on in the next one, unless that begins an item."""
    parts: list[str] = []
    for line, following in zip_longest(lines, lines[1:]):
        goes_on = len(line) >= 0.7 * width and following and not _ITEM.match(following)
        parts += [line, _WRAP if goes_on else "\n"]
    return _BLANK.sub("\n\n", "".join(parts)).strip()


_WRAP = "\x1f"  # `clean` takes it out of every page, so that it stands for nothing else
_HYPHENATED = re.compile(r"\b[^\W\d_]+[-‐][^\W\d_]+\b")
_BROKEN_WORD = re.compile(r"(?<![^\W\d_])([^\W\d_]+)[-‐][\x1f\n]([^\W\d_]+)")
_AFTER_HALF = listed("and or to und oder bis et ou y o e en of och og")
"""what follows the first half of ``pre- and post-war``"""


def _gap(before: str, page: str) -> str:
    """What stands between two pages: a sentence may run over."""
    if not (before and page):
        return ""
    return "\n" if before[-1] in '.!?:…"”»)' else _WRAP


def _dehyphenated(text: str, starts: list[int], known: set[str]) -> tuple[str, tuple[int, ...]]:
    """Words joined again; the hyphen stays where the document spells the word with it."""
    parts: list[str] = []
    cuts: list[tuple[int, int]] = []  # place in the old text, characters taken away there
    at = 0
    for found in _BROKEN_WORD.finditer(text):
        if not found[2][0].islower() or found[2] in _AFTER_HALF:
            continue
        keeps = f"{found[1]}-{found[2]}".lower() in known
        parts += [text[at : found.end(1)], "-" if keeps else ""]
        at = found.start(2)
        cuts.append((at, 1 if keeps else 2))
    parts.append(text[at:])
    return "".join(parts), _moved(starts, cuts)


def _moved(starts: list[int], cuts: list[tuple[int, int]]) -> tuple[int, ...]:
    moved, gone, i = [], 0, 0
    for start in starts:
        while i < len(cuts) and cuts[i][0] <= start:
            gone += cuts[i][1]
            i += 1
        if i < len(cuts):  # an empty page between the halves of a word
            start = min(start, cuts[i][0] - cuts[i][1])
        moved.append(start - gone)
    return tuple(moved)
