"""What a text's words are for the gates: content words by their stems, names, numbers.

All by rules, without a model. Letter case tells names in scripts that have it; in German it
tells nouns, so that more counts as a name there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

from lorepack.facts.documents.tokens import listed
from lorepack.text import normalise, tokens

STOP = listed(
    "a an the this that these those it its itself he him his she her hers they them their theirs"
    " we us our ours you your yours i me my mine one ones who whom whose which what when where why"
    " how am is are was were be been being do does did doing done has have had having will would"
    " shall should can could may might must not no nor and or but if then else so than as at by"
    " for from in into of off on onto out over to up down with within without about above across"
    " after again against all along also although among amongst any around because before behind"
    " below beneath beside besides between beyond both during each either even ever every few"
    " further here hence how however just least less like many more most much neither never only"
    " other others otherwise own per rather same several since some still such there therefore"
    " thereby through throughout thus together too toward towards under unlike until upon very via"
    " when whereas whereby whether while yet yes"
    " s t d ll re ve m don doesn didn isn aren wasn weren won wouldn couldn shouldn hasn haven"
)
"""English words that carry no content"""
ASKING = listed(
    "who whom whose which what when where why how is are was were do does did has have had can"
    " could will would shall should may might must am whats wheres whos"
)
"""words that open a question"""
DEMANDING = listed(
    "analyse analyze answer argue arrange assess calculate choose cite classify compare complete"
    " compute consider contrast count create deduce define demonstrate derive describe design"
    " detail determine differentiate discuss distinguish draw elaborate enumerate estimate"
    " evaluate examine explain explore fill find formulate give guess help identify illustrate"
    " imagine infer interpret judge justify label let list match mention name order outline"
    " paraphrase pick please point predict present propose prove provide put quote rank recall"
    " recite recount reflect relate remind repeat rephrase report restate retell reveal review"
    " rewrite say select show sketch solve sort specify spell state suggest summarise summarize"
    " suppose talk tell trace translate try turn walk write"
)
"""verbs that open a demand"""
_OPENING = STOP | ASKING | DEMANDING
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    " fifteen sixteen seventeen eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety hundred"
_NUMERALS = {word: str(number) for number, word in enumerate(_UNITS.split())} | {
    word: str(10 * number) for number, word in enumerate(_TENS.split(), 2)
}
_LATIN = "abcdefghijklmnopqrstuvwxyz"
_TOKEN = re.compile(r"[^\W_]+")
_START = re.compile(r"(?:^|[.!?…:;。！？]|\n)[\s\"'“‘«„(\[¿¡*_—–-]*$")
_SUFFIXES = sorted(
    listed(
        "izations isations ization isation ations ation itions ition utions ution ments ment ness"
        " ings ing edly ed ers er ors or ies ied es s ally ical ically ly al als ives ive ively"
        " ities ity ability abilities able ably ible ibly ances ance ences ence ancy ency ancies"
        " encies ants ant ents ent ic ics izes ize ized izing ises ise ised ising ions ion ism"
        " ist ists ful less ous"
    ),
    key=len,
    reverse=True,
)


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """A word without its endings, roughly: ``planning`` and ``planners`` are ``plan``."""
    if not (word.isascii() and word.isalpha()):
        return word
    while (shorter := _without_ending(word)) != word:
        word = shorter
    return word


def _without_ending(word: str) -> str:
    if len(word) < 4 or word.endswith("ss"):
        return word
    if len(word) > 7 and word.endswith("sions"):
        return word[:-1]
    if len(word) > 6 and word.endswith("sion"):  # compression, compress; conclusion, conclude
        return word[:-3] if word.endswith("ssion") else word[:-4] + "d"
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            return word[: -len(suffix)]
    if word.endswith("s") and not word.endswith(("us", "is")):
        return word[:-1]
    doubled = word[-1] == word[-2] and word[-1] not in "aeiou"
    return word[:-1] if doubled or word[-1] in "eiy" else word


def singular(word: str) -> str:
    """A name without the ``s`` of a plural: ``llms`` is ``llm``."""
    plural = len(word) > 3 and word.endswith("s") and not word.endswith("ss")
    return word[:-1] if plural else word


def is_number(token: str) -> bool:
    """Whether a word of a normal form holds a digit."""
    return any(char.isdecimal() for char in token)


def digits_of(number: str) -> str:
    """A number without letters around it: 1990s is 1990, 57M is 57."""
    return number.strip(_LATIN) or number


@dataclass(frozen=True)
class Told:
    """The words of one text, each kind found when it is first asked for."""

    text: str

    @cached_property
    def tokens(self) -> list[str]:
        return tokens(self.text)

    @cached_property
    def padded(self) -> str:
        """The words with a space around each, for finding whole words."""
        return f" {' '.join(self.tokens)} "

    @cached_property
    def stems(self) -> frozenset[str]:
        """Of all words; and, for finding names, all words without a plural's ``s``."""
        return frozenset([f(token) for token in self.tokens for f in (stem, singular)])

    @cached_property
    def content(self) -> dict[str, str]:
        """Stem to word, of the words that carry content: no function words.

        In a script without spaces these are pairs of neighbouring characters.
        """
        words = [token for token in self.tokens if token not in STOP and len(token) > 1]
        return {stem(word): word for word in [*words, *_pairs(self.tokens)]}

    @cached_property
    def numbers(self) -> frozenset[str]:
        """Numbers in digits."""
        return frozenset(token for token in self.tokens if is_number(token))

    @cached_property
    def all_numbers(self) -> frozenset[str]:
        """Numbers in digits, also without their unit (57M is 57), and written out to a hundred."""
        written = (_NUMERALS[token] for token in self.tokens if token in _NUMERALS)
        return self.numbers | frozenset(map(digits_of, self.numbers)) | frozenset(written)

    @cached_property
    def names(self) -> frozenset[str]:
        """The words of names, in lower case."""
        return frozenset(_names(self.text))

    @cached_property
    def acronyms(self) -> frozenset[str]:
        """Names of three or more capitals, in lower case."""
        found = (singular_acronym(match[0]) for match in _TOKEN.finditer(self.text))
        return frozenset(acronym for acronym in found if acronym)

    @cached_property
    def initials(self) -> tuple[str, str]:
        """First letters of all words, and of those that carry content."""
        content = [token for token in self.tokens if token not in STOP]
        return _initials(self.tokens), _initials(content)

    @cached_property
    def spelled_out(self) -> frozenset[str]:
        """Runs of three to six first letters: what its acronyms could be."""
        return frozenset(
            letters[i : i + length]
            for letters in self.initials
            for length in range(3, 7)
            for i in range(len(letters) - length + 1)
        )


def told(text: str) -> Told:
    """The words of a text; those of the texts asked for last are remembered, of long ones few."""
    return (_question if len(text) < 500 else _passage if len(text) < 20_000 else _book)(text)


_question = lru_cache(maxsize=2048)(Told)
_passage = lru_cache(maxsize=64)(Told)
_book = lru_cache(maxsize=2)(Told)


def _initials(words: list[str]) -> str:
    return "".join([word[0] for word in words])


def _pairs(parts: list[str]) -> Iterator[str]:
    for one, other in pairwise(parts):
        if len(one) == len(other) == 1 and min(one, other) > "\u0e00":
            yield one + other


def singular_acronym(word: str) -> str | None:
    """The acronym that a word is, in lower case and without a plural's ``s``; else None."""
    letters = word.removesuffix("s") if word[:-1].isupper() else word
    return (
        letters.lower() if len(letters) >= 3 and letters.isalpha() and letters.isupper() else None
    )


def _names(text: str) -> Iterator[str]:
    found = list(_TOKEN.finditer(text))
    if _in_title_case([match[0] for match in found]):
        chosen = [match for match in found if _is_shaped(match[0])]
    else:
        chosen = [match for i, match in enumerate(found) if _is_name(text, found, i)]
    for match in chosen:
        yield from normalise(match[0]).split()


def _in_title_case(words: list[str]) -> bool:
    """Whether Nearly Every Word Has a Capital, which then tells nothing."""
    behind = [word for word in words[1:] if word[0].isalpha() and word != "I"]
    content = [word[0].isupper() for word in behind if word.lower() not in STOP]
    function = [word[0].isupper() for word in behind if word.lower() in STOP]
    if not content or sum(content) < 0.85 * len(content):
        return False
    return len(content) > 4 or sum(function) > 0.5 * len(function)


def _is_shaped(word: str) -> bool:
    """Whether a word has a capital behind its first letter: NASA, DeepSeek, LLMs."""
    return any(char.isupper() for char in word[1:]) and not is_number(word)


def _is_name(text: str, found: list[re.Match[str]], i: int) -> bool:
    word = found[i][0]
    if _is_shaped(word):
        return True
    start = found[i].start()
    if not word[0].isupper() or is_number(word) or _is_stop(text, word, start):
        return False
    if not _START.search(text, max(0, start - 8), start):
        return True
    # The first word of a sentence has a capital anyway: what comes behind it must tell.
    if word.lower() in _OPENING or len(word) == 1:
        return False
    behind = text[found[i].end() : found[i].end() + 3]
    following = found[i + 1][0] if i + 1 < len(found) else ""
    return behind.startswith(("'s", "’s")) or (behind[:1] == " " and following[:1].isupper())


def _is_stop(text: str, word: str, start: int) -> bool:
    """Whether a word is no name; of single letters, those behind an apostrophe, "I" and "A"."""
    if len(word) > 1 or word in "IA":
        return word.lower() in STOP
    return text[start - 1 : start] in "'’" if start else False


def same_names(one: str, other: str) -> bool:
    """Whether two texts may speak of the same: not each of a name or number the other lacks."""
    if max(len(one), len(other)) < 500 and _plainly_differ(_marks(one), _marks(other)):
        return False
    first, second = told(one), told(other)
    return not (_lacks(first, second) and _lacks(second, first))


class _Marks(NamedTuple):
    named: frozenset[str]
    held: frozenset[str]
    acronym: bool


@lru_cache(maxsize=1 << 14)
def _marks(text: str) -> _Marks:
    """Names and numbers of a short text, and all that it holds: a template has many questions."""
    one = Told(text)
    named = frozenset(map(singular, _names_anywhere(text))) | one.numbers
    return _Marks(named, one.stems | one.all_numbers, bool(one.acronyms))


def _plainly_differ(one: _Marks, other: _Marks) -> bool:
    if one.acronym or other.acronym:
        return False  # what they are short for has to be looked at
    return not (one.named <= other.held or other.named <= one.held)


def same_content(one: str, other: str) -> bool:
    """Whether one of two texts may say the same as the other, or less: no word was exchanged.

    "the left pipeline" and "the right pipeline" are alike but for what matters.
    """
    first, second = told(one), told(other)
    return not (_says_more(first, second) and _says_more(second, first))


def _says_more(one: Told, other: Told) -> bool:
    if _lacks(one, other) or one.all_numbers - other.all_numbers:
        return True
    roots = {root for root, word in one.content.items() if word not in DEMANDING}
    return any(root not in other.stems and root not in other.content for root in roots)


def _lacks(one: Told, other: Told) -> list[str]:
    """Names and numbers of one text that the other does not hold in any form."""
    names = [name for name in _names_anywhere(one.text) if not holds_name(other, one, name)]
    return names + sorted(one.numbers - other.all_numbers)


@lru_cache(maxsize=4096)
def _names_anywhere(text: str) -> frozenset[str]:
    """Names, and the word that opens the text when it may be one."""
    opening = _TOKEN.search(text)
    first = opening[0] if opening else ""
    maybe = first[:1].isupper() and first.lower() not in _OPENING and len(first) > 1
    return frozenset(_names(text)) | (frozenset(normalise(first).split()) if maybe else frozenset())


def holds_name(where: Told, source: Told, name: str) -> bool:
    """Whether a text holds a name of another: itself, its acronym, or what it is short for."""
    if name in where.stems or singular(name) in where.stems:
        return True
    short = singular(name)
    if short in source.acronyms and short in where.spelled_out:
        return True
    return any(
        acronym in where.acronyms and name in _behind(source, acronym)
        for acronym in source.spelled_out & where.acronyms
    )


def _behind(source: Told, acronym: str) -> set[str]:
    """The words of a text whose first letters are an acronym."""
    content = [token for token in source.tokens if token not in STOP]
    words: set[str] = set()
    for parts, letters in zip((source.tokens, content), source.initials, strict=True):
        at = letters.find(acronym)
        while at >= 0:
            words.update(parts[at : at + len(acronym)])
            at = letters.find(acronym, at + 1)
    return words
