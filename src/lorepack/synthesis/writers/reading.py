"""What the rule-based writer sees in a text: sentences, names, numbers, and what matters most."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from lorepack.facts.documents import sentences
from lorepack.facts.documents.tokens import listed
from lorepack.synthesis.words import STOP
from lorepack.text import normalise

CITATION = re.compile(
    r"\s*(?:\([^()]{0,300}?\b(?:1[5-9]|20)\d\d[a-z]?\b[^()]{0,300}?\)"  # (Coulom, 2007)
    r"|\[\d{1,3}(?:\s*[,;–-]\s*\d{1,3}){0,20}\])"  # [3, 7]
)
_NUMBER = r"\d+(?:[.,]\d+)*(?:%|\b)"
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
DATE = (
    rf"(?:\d{{1,2}} (?:{_MONTHS}) \d{{4}}|(?:{_MONTHS}) \d{{1,2}}, \d{{4}}|(?:{_MONTHS}) \d{{4}})"
)
_CAPITAL = r"[^\W\d_a-z]\w*(?:[-'’.]\w+)*"
NAME = rf"{_CAPITAL}(?:(?: (?:of|the|de|von|van|der|la|du)){{0,2}} {_CAPITAL}){{0,6}}"
_SPAN = re.compile(rf"(?P<date>{DATE})|(?P<number>(?<![\w.,-]){_NUMBER})|(?P<name>\b{NAME})")
_WORD = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)*")
_DEPENDS = re.compile(
    r"[\"“'‘(]*(?:(?:he|she|it|its|they|this|that|these|those|his|her|their|such|here|there|then"
    r"|thus|therefore|however|moreover|furthermore|instead|both|we|our|i|my|you|your|first|second"
    r"|third|finally|lastly|and|but|or|so|also|other|others|another|one|yet|now|still|indeed|nor"
    r"|only|even|remarkably|notably|for example|for instance|in contrast|in other words"
    r"|as a result|the (?:former|latter)|to (?:this end|address this|this))"
    r"|(?:\S+ ){1,4}(?:he|she|it|they|him|them|his|her|their|its|this|these|those))\b",
    re.IGNORECASE,
)
"""openings that point back to sentences before"""
_BARE_OPENERS = listed(
    "the a an in on at by for from with as if when while after before since although though because"
    " despite unlike given to of it he she they we this that these those there here his her its our"
    " their my your and but or so however moreover furthermore thus therefore first second third"
    " finally also not no yes what who why how where which some many most all both each every one"
    " two three such other another during under over through between among recently specifically"
    " additionally instead rather let see once only even then now still yet perhaps well oh"
)
_ROMAN = re.compile(r"[IVXLC]+\.?")
_CAPITALISED = re.compile(rf"\b{_CAPITAL}")
_INNER = re.compile(rf"(?:(?<=[a-z0-9] )|(?<=[a-z], )){_CAPITAL}(?: {_CAPITAL})*")
_MARKS = listed("Figure Fig Table Section Chapter Equation Eq Appendix Footnote Sidenote")
_POINTER = re.compile(r"(?:Figures?|Figs?\.|Tables?|Sections?|Chapters?|Eqs?\.|Appendix|§)\s*$")
_POINTS = re.compile(
    r"\b(?:Figures?|Figs?\.|Tables?|Sections?|Appendix) ?\d|§|\[Footnote|\[Sidenote"
)
_SPEAKER = re.compile(
    r"\b(?:I|we|you|our|my|your|me|us|ours|myself|ourselves|this (?:paper|work|study|article))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Span:
    """A name, a number, a date or a rare word of a sentence."""

    text: str
    kind: str
    start: int


@dataclass(frozen=True)
class Sentence:
    """A sentence: as it stands, and without citations, on one line."""

    text: str
    plain: str
    place: int

    @property
    def stands_alone(self) -> bool:
        """Whether it seems to be understood without the sentences before it."""
        return (
            self.is_whole
            and self.plain.rstrip("\"”’')")[-1:] in ".!"
            and not _DEPENDS.match(self.plain)
            and not _SPEAKER.search(self.plain)
            and not _POINTS.search(self.plain)
        )

    @property
    def is_whole(self) -> bool:
        """Whether it is a sentence at all: no heading, no verse, no remains of a table."""
        words = self.plain.split()
        return (
            4 <= len(words) <= 90
            and self.plain[-1:] in ".!?\"”’'"
            and self.plain.count('"') % 2 == 0
            and self.plain.count("“") == self.plain.count("”")
            and self.plain.lstrip("\"“‘'(")[:1].isupper()
            and sum(char.isalnum() or char == " " for char in self.plain) > 0.8 * len(self.plain)
        )


class Reading:
    """A passage, read once.

    Args:
        text: the passage.
        title: its title.
    """

    def __init__(self, text: str, title: str | None = None) -> None:
        self.text, self.title = text, title
        pieces = [text[start:end] for start, end in sentences(text)]
        self.sentences = [
            Sentence(piece, _plain(piece), place) for place, piece in enumerate(pieces)
        ]

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(word for s in self.sentences for word in content(s.plain))

    @cached_property
    def lower(self) -> frozenset[str]:
        """The words that occur in lower case: a capital at the start of a sentence is no name."""
        return frozenset(word for word in _WORD.findall(self.text) if word.islower())

    def weight(self, sentence: Sentence) -> float:
        """How much of what the passage is about a sentence holds."""
        words = set(content(sentence.plain))
        if not words:
            return 0.0
        # A word that occurs once says nothing of what the whole is about.
        held = sum(math.log(self._counts[word]) for word in words)
        return held / math.sqrt(len(words)) + (0.5 if sentence.place == 0 else 0.0)

    @cached_property
    def ranked(self) -> list[Sentence]:
        """The whole sentences, the most telling first."""
        whole = [s for s in self.sentences if s.is_whole]
        return sorted(whole, key=lambda s: (-self.weight(s), s.place))

    def told(self, sentence: Sentence) -> list[Span]:
        """Names, numbers and dates of a sentence's plain form, in order."""
        spans = []
        for found in _SPAN.finditer(sentence.plain):
            kind = str(found.lastgroup)
            text, start = found[0], found.start()
            if kind == "number" and _POINTER.search(sentence.plain, max(0, start - 12), start):
                continue
            if kind == "name":
                text, start = self._name(text, start)
                if not text:
                    continue
            spans.append(Span(text, kind, start))
        return spans

    @cached_property
    def _named(self) -> frozenset[str]:
        """Words whose capital is that of a name.

        They have it behind another word of their line, or often and never a small letter.
        """
        words = {word for run in _INNER.findall(self.text) for word in run.split()}
        counts = Counter(_CAPITALISED.findall(self.text))
        words.update(w for w, n in counts.items() if n > 1 and w.lower() not in self.lower)
        return frozenset(w for w in words if w.split("'")[0].lower() not in _BARE_OPENERS)

    def _is_named(self, word: str) -> bool:
        shaped = any(map(str.isupper, word[1:])) and word not in _MARKS
        named = word[:1].isupper() and (shaped or word in self._named)
        return named and not _ROMAN.fullmatch(word)

    def _name(self, text: str, start: int) -> tuple[str, int]:
        """The first run of names in a run of capitals; empty where there is none."""
        words, place = text.split(" "), start
        for i, word in enumerate(words):
            if self._is_named(re.sub(r"['’]s$", "", word)) and word not in _MARKS:
                end = i + 1
                while end < len(words) and (self._is_named(words[end]) or words[end].islower()):
                    end += 1
                while end > i + 1 and words[end - 1].islower():
                    end -= 1
                return re.sub(r"['’]s$", "", " ".join(words[i:end])), place
            place += len(word) + 1
        return "", start

    @cached_property
    def names(self) -> list[str]:
        """Names and numbers, the most frequent first."""
        counts: Counter[str] = Counter()
        for sentence in self.sentences:
            counts.update(span.text for span in self.told(sentence))
        return sorted(counts, key=lambda name: -counts[name])  # stable: else by place

    def rare(self, sentence: Sentence) -> list[Span]:
        """The words of a sentence that the passage uses least, the longest first; three at most."""
        words = {
            found[0]: found.start()
            for found in _WORD.finditer(sentence.plain)
            if len(found[0]) >= 7
            and found[0].islower()
            and found[0] not in STOP
            and not found[0].endswith("ly")
        }
        best = sorted(words, key=lambda word: (self._counts[word], -len(word)))[:3]
        return [Span(word, "word", words[word]) for word in best]

    def holding(self, *names: str) -> list[Sentence]:
        """The sentences that hold all of some names."""
        forms = [f" {normalise(name)} " for name in names]
        return [
            s
            for s in self.sentences
            if all(form in f" {normalise(s.text)} " for form in forms if form.strip())
        ]


@lru_cache(maxsize=64)
def reading(text: str, title: str | None) -> Reading:
    """A passage, read; the last ones are remembered."""
    return Reading(text, title)


def content(text: str) -> list[str]:
    """The words of a text that carry content, in lower case."""
    words = (word.lower() for word in _WORD.findall(text))
    return [word for word in words if len(word) > 2 and word not in STOP]


def _plain(text: str) -> str:
    return " ".join(CITATION.sub("", text).split())


def one_line(texts: Iterable[str]) -> str:
    """Texts behind one another."""
    return " ".join(" ".join(text.split()) for text in texts)
