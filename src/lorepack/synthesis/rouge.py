"""ROUGE-L: how alike two texts are, by their longest common subsequence of words (Lin, 2004).

Words are those of the ``rouge-score`` library without stemming where a text is ASCII; other
scripts keep their letters, and a script without spaces has a word for each character.
"""

from __future__ import annotations

import re
import unicodedata

from rapidfuzz.distance import LCSseq

_ASCII_WORD = re.compile("[a-z0-9]+")
# Thai to Tibetan, Khmer, kana, ideographs.
_UNSPACED = re.compile("([\u0e00-\u0fff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")


class _Letters(dict[int, str]):
    """A table for `str.translate`: letters, digits and their marks stay, the rest is a space."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = char if unicodedata.category(char)[0] in "LNM" else " "
        return self[code]


_LETTERS = _Letters()


def words(text: str) -> list[str]:
    """The words of a text: lower-cased runs of letters and digits, in order."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    letters = unicodedata.normalize("NFKC", text.lower()).translate(_LETTERS)
    return _UNSPACED.sub(r" \1 ", letters).split()


def rouge_l(one: str, other: str) -> float:
    """The F-measure of ROUGE-L, from 0 (no word in common) to 1 (the same words in order)."""
    first, second = words(one), words(other)
    if not (first and second):
        return 0.0
    ids: dict[str, int] = {}
    coded = [[ids.setdefault(word, len(ids)) for word in part] for part in (first, second)]
    return f_measure(LCSseq.similarity(*coded), len(first), len(second))


def f_measure(common: int, length: int, other: int) -> float:
    """F from the length of the common subsequence and of both texts."""
    return 2 * common / (length + other)
