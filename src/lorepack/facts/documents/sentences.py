"""Sentences of a text, by rules: abbreviations, initials, numbers and quotes end none."""

from __future__ import annotations

import re

from lorepack.facts.documents.tokens import listed

_BORDER = re.compile(
    r"""
    \n[^\S\n]*+\n\s*+                                    # a blank line
    | \n(?=[^\S\n]*(?:[-–•*·▪◦]|\d{1,3}[.)])[^\S\n])      # an item of a list
    | (?<![.!?…‽؟۔।])(?P<mark>[.!?…‽؟۔।]++)(?P<after>[)\]"'”’»*_]*+)(?=\s)
    | [。！？｡]++[」』”’）)]*+                             # scripts without spaces
    """,
    re.VERBOSE,
)
_OPENERS = "\"'“‘«„‚([{¿¡*_—–- \t\n"
_LAST_WORD = re.compile(r"[^\s(\[{\"“‘«„—–/]+$")
_NEXT_WORD = re.compile(r"[^\W_]+")

_TITLES = listed(
    "mr mrs ms mx dr prof rev hon gen col maj capt lt sgt cmdr adm gov sen rep pres st ste mt"
    " messrs mme mlle sra srta sig dott hr vs cf viz eg ie ca resp bzw vgl sog ed eds esp"
)
"""a name or the rest of the sentence follows"""
_NUMBERED = listed(
    "no nos nr nrs fig figs eq eqs p pp vol vols ch chap art sec sect par tab"
    " jan feb mar apr jun jul aug sep sept oct nov dec"
)
"""a number follows, or the sentence ends"""
_EITHER = listed("jr sr inc ltd co corp bros dept etc al usw est approx univ")
"""the sentence may end or not"""
_STARTERS = listed(
    "the a an this that these those it its he she they we you i his her their our my in on at as"
    " if for from with by after before when while where there here but and or so however then thus"
    " what who why how some many most all both no not one two since although though because during"
    " der die das ein eine er sie es wir in im am und aber le la les un une il elle ils el los"
)
"""words that begin a sentence more often than a name"""


def sentences(text: str) -> list[tuple[int, int]]:
    """Where each sentence begins and ends, without the white space around it.

    Together they hold every character that is no white space, in order.
    """
    spans, start = [], 0
    for found in _BORDER.finditer(text):
        if found["mark"] is not None and not _ends(text, found):
            continue
        spans.append((start, found.end()))
        start = found.end()
    spans.append((start, len(text)))
    return [trimmed for begin, end in spans if (trimmed := _trimmed(text, begin, end))]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    kept = len(piece.strip())
    return (start + left, start + left + kept) if kept else None


def _ends(text: str, found: re.Match[str]) -> bool:
    """Whether a sentence ends with this mark; white space follows it."""
    rest = text[found.end() : found.end() + 80].lstrip(_OPENERS)
    if rest[:1].islower():
        return False  # "What?" he said
    if found["mark"] != ".":
        return True
    before = _LAST_WORD.search(text, max(0, found.start() - 24), found.start())
    word = before[0].strip("'’") if before else ""
    following = _NEXT_WORD.match(rest)
    starts_anew = following is not None and following[0].lower() in _STARTERS
    if found["after"]:
        return True  # the bracket or quotation is over, and a capital follows
    if re.fullmatch(r"(?:\w\.)+\w", word) or word.lower() in _EITHER:
        return starts_anew  # U.S., a.m., J. R. R.
    if len(word) == 1 and word.isupper() and word != "I":
        return False  # an initial
    if word.isdigit() and len(word) <= 3 and before and _begins_line(text, before.start()):
        return False  # the number of an item
    if word.lower() in _NUMBERED:
        return not rest[:1].isdigit()
    return word.lower() not in _TITLES


def _begins_line(text: str, place: int) -> bool:
    before = text[max(0, place - 8) : place].rstrip(" \t")
    return before.endswith("\n") or (place < 8 and not before)
