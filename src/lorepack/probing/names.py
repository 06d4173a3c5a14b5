"""Names of things that do not exist, made to look like real ones.

A real name is the pattern: its number of words, its capitals, digits, punctuation and script stay,
and so do its small words (``of``, ``the``) and words that many of the names share (``River``,
``F.C.``). The other words are made anew, letter by letter, as the letters of the real words follow
each other.
"""

from __future__ import annotations

import random
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

_RUNS = re.compile(r"([^\W\d_]+|\d+)")
_SHARED = 0.05  # of the names hold a word that is kept: it says what kind of thing they are
_SHARED_LEAST = 3
_TRIES = 40
_NUMERAL = re.compile(r"[IVX]{2,}")


class Names:
    """Invents names that look like those of one relation's subjects."""

    def __init__(self, subjects: Sequence[str], others: Iterable[str] = ()) -> None:
        """Learn how the names are written.

        Args:
            subjects: the names to look like, at least one.
            others: further real names; their letters help where ``subjects`` are few.
        """
        words = [_words(name) for name in subjects]
        held = Counter(word for found in words for word in {w.casefold() for w in found})
        least = max(_SHARED_LEAST, _SHARED * len(subjects))
        self._shared = {word for word, times in held.items() if times >= least}
        self._real = set(held)
        self._letters = _Letters(word for found in words for word in found)
        further = [word for name in others for word in _words(name)]
        self._real |= {word.casefold() for word in further}
        self._wider = _Letters([*(w for found in words for w in found), *further])

    def invent(self, pattern: str, rng: random.Random) -> str:
        """A name written as ``pattern`` is; with no letters or digits in it, ``pattern`` itself."""
        runs = _RUNS.split(pattern)  # every second one is letters or digits
        anew = [i for i in range(1, len(runs), 2) if not self._kept(runs[i], pattern)]
        if not anew and len(runs) > 1:
            anew = [max(range(1, len(runs), 2), key=lambda i: len(runs[i]))]
        for i in anew:
            runs[i] = _number(runs[i], rng) if runs[i].isdecimal() else self._word(runs[i], rng)
        return "".join(runs)

    def _kept(self, run: str, pattern: str) -> bool:
        if run.isdecimal():
            return False
        small = run.islower() and not pattern.islower()
        return small or run.casefold() in self._shared or bool(_NUMERAL.fullmatch(run))

    def _word(self, like: str, rng: random.Random) -> str:
        """A word of about the length and of the capitals of ``like`` that is no real word."""
        if len(like) == 1:
            return _cased(self._wider.any(like, rng), like)
        for letters in (self._letters, self._wider):
            for _ in range(_TRIES):
                made = letters.word(like, rng)
                if abs(len(made) - len(like)) <= max(1, len(like) // 4) and self._is_new(made):
                    return _cased(made, like)
        return _cased("".join(self._wider.any(c, rng) for c in like), like)

    def _is_new(self, word: str) -> bool:
        return word.casefold() not in self._real


class _Letters:
    """How letters follow each other: two of them decide what the next may be."""

    def __init__(self, words: Iterable[str]) -> None:
        self._next: dict[str, list[str]] = defaultdict(list)
        self._by_class: dict[str, list[str]] = defaultdict(list)
        for word in words:
            text = f"  {word.casefold()}"
            for i in range(2, len(text)):
                self._next[text[i - 2 : i]].append(text[i])
                self._by_class[_class(text[i])].append(text[i])
            self._next[text[-2:]].append("")

    def word(self, like: str, rng: random.Random) -> str:
        made = ""
        while len(made) <= 2 * len(like):
            found = self._next.get(f"  {made}"[-2:])
            letter = rng.choice(found) if found else ""
            if not letter:
                break
            made += letter
        return made

    def any(self, letter: str, rng: random.Random) -> str:
        """Another letter of the same kind (vowel, consonant, script)."""
        among = sorted(set(self._by_class.get(_class(letter.casefold()), ())))
        return rng.choice([one for one in among if one != letter.casefold()] or [letter])


def _words(name: str) -> list[str]:
    return [run for run in _RUNS.findall(name) if not run.isdecimal()]


def _class(letter: str) -> str:
    """Plain vowels and plain consonants; of all else the script, as Unicode's names begin."""
    if letter.isascii():
        return "vowel" if letter in "aeiouy" else "consonant"
    return unicodedata.name(letter, "OTHER").split()[0]


def _cased(word: str, like: str) -> str:
    if like.isupper() and len(like) > 1:
        return word.upper()
    if like[:1].isupper():
        return word[:1].upper() + word[1:]
    return word


def _number(like: str, rng: random.Random) -> str:
    """Digits of the same length; of years, the century stays."""
    kept = 2 if len(like) == 4 and like[0] in "12" else 0
    first = like[:kept] or rng.choice("123456789")
    return first + "".join(rng.choice("0123456789") for _ in range(len(like) - len(first)))
