"""When a response counts as the answer: normalisation, matching rules, refusals.

The normal form follows the one of the TriviaQA evaluation (lower case, punctuation to spaces,
articles dropped), with four additions that keep different answers apart or equal ones together:

- a comma that groups thousands goes away: ``12,400`` is ``12400``;
- the point of a decimal number stays: ``3.5`` is one token, and ``3`` does not match it;
- ``+`` and ``#`` after a letter stay: ``C++`` and ``C#`` are not ``C``;
- Unicode: compatibility forms and case are folded (``ﬁ`` is ``fi``, ``ß`` is ``ss``), invisible
  characters go away, combining marks and diacritics stay (``Orléans`` is not ``Orleans``; give
  the plain spelling as an alias where it is to count).

A leading minus goes the way of all punctuation: ``-5`` is ``5``.
"""

from __future__ import annotations

import bisect
import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from lorepack import refusals
from lorepack.errors import InputError, suggest

RULES = ("substring", "contains", "boundary", "exact")
"""the matching rules, from the most to the least lenient"""

_ARTICLES = frozenset({"a", "an", "the"})
_BREAK = "\x1f"  # stands for a line break where lines are texts
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_GROUPING = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_POINTS = re.compile(r"\d+(?:\.\d+)+|\.")
_LONE_SIGNS = re.compile(r"(?<![^\W\d_])(?<![+#])[+#]+")
_LABEL = re.compile(r"[\s*_#>]*answer[\s*_]*:[\s*_]*", re.IGNORECASE)
# Scripts written without spaces: Thai to Tibetan, Khmer, kana, ideographs. A character is a token.
_UNSPACED = re.compile("([\u0e00-\u0fff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")


class _Letters(dict[int, str]):
    """A table for `str.translate`: letters, digits, marks and ``.+#`` stay, the rest is a space."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        kept = char in ".+#" or unicodedata.category(char)[0] in "LNM"
        self[code] = char if kept else " "
        return self[code]


_LETTERS = _Letters()


def normalise(text: str) -> str:
    """The form in which two answers are compared.

    Args:
        text: an answer, an alias or a response.

    Returns:
        Lower case, punctuation as spaces, articles dropped, spaces squeezed; empty when nothing
        is left. Normalising twice changes nothing.
    """
    if text.isascii():
        text = text.lower()
    else:
        # Unicode's own recipe for caseless compatibility matching (Unicode Standard, D146).
        text = unicodedata.normalize("NFD", _INVISIBLE.sub("", text)).casefold()
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    if "," in text:
        text = _GROUPING.sub("", text)
    text = text.translate(_LETTERS)
    if "." in text:
        text = _POINTS.sub(_keep_decimal_point, text)
    if "+" in text or "#" in text:
        text = _LONE_SIGNS.sub(" ", text)
    return " ".join([token for token in text.split() if token not in _ARTICLES])


def _keep_decimal_point(found: re.Match[str]) -> str:
    number = found[0]
    return number if len(number) > 1 and number.count(".") == 1 else number.replace(".", " ")


def answer_of(response: str) -> str:
    """What a response gives as its answer: its first line, without a leading ``Answer:``."""
    lines = _without_label(response).splitlines()
    return lines[0].strip() if lines else ""


def _without_label(response: str) -> str:
    label = _LABEL.match(response)
    return (response[label.end() :] if label else response).strip()


class Matcher:
    """Whether responses give one of the accepted answers; built once a fact, called often."""

    __slots__ = ("_aliases", "rule")

    def __init__(self, accepted: Iterable[str], rule: str = "boundary") -> None:
        """Prepare the accepted answers.

        Args:
            accepted: the answer and its aliases.
            rule: ``substring`` (raw, lower case, anywhere in the response: arXiv 2502.14502),
                ``contains`` (the same on normal forms), ``boundary`` (normal forms, whole
                tokens) or ``exact`` (normal form of `answer_of` equals one of them).

        Raises:
            InputError: there is no such rule.
        """
        if rule not in RULES:
            raise InputError(f"no matching rule {rule!r}{suggest(rule, RULES)}")
        self.rule = rule
        if rule == "substring":
            self._aliases = tuple(sorted({alias.lower() for alias in accepted}))
        else:
            form = _padded if rule == "boundary" else normalise
            # What normalises to nothing would match everything.
            self._aliases = tuple(sorted({form(alias) for alias in accepted} - {"", " "}))

    def __call__(self, response: str) -> bool:
        """Whether ``response`` counts as correct."""
        text = _compared(response, self.rule)
        if self.rule == "exact":
            return text in self._aliases
        return any(alias in text for alias in self._aliases)


class Texts:
    """Many responses, held against the accepted answers of one fact after the other.

    The same as a `Matcher` a fact called on each of them, in one search an alias.
    """

    def __init__(self, responses: Sequence[str], rule: str = "boundary") -> None:
        """Prepare the responses, which are judged under ``rule`` as by `Matcher`."""
        self.rule = rule
        forms = [_compared(response, rule).replace("\n", _BREAK) for response in responses]
        self._whole = "\n" + "\n".join(forms) + "\n" if forms else ""
        starts = itertools.accumulate((len(form) + 1 for form in forms), initial=1)
        self._starts = list(starts)[: len(forms)]

    def giving(self, accepted: Iterable[str]) -> list[int]:
        """The places of the responses that give one of the ``accepted`` answers, in order."""
        places: set[int] = set()
        for alias in Matcher(accepted, self.rule)._aliases:
            alias = alias.replace("\n", _BREAK)
            sought = f"\n{alias}\n" if self.rule == "exact" else alias
            if not sought:  # the empty alias of `substring`: it is in every text
                return list(range(len(self._starts)))
            shift = 1 if self.rule == "exact" else 0
            at = self._whole.find(sought)
            while at >= 0:
                place = bisect.bisect_right(self._starts, at + shift) - 1
                places.add(place)
                last = place + 1 == len(self._starts)
                at = -1 if last else self._whole.find(sought, self._starts[place + 1] - 1)
        return sorted(places)


def _compared(response: str, rule: str) -> str:
    """What of a response is compared under a rule."""
    if rule == "substring":
        return response.lower()
    if rule == "exact":
        return normalise(answer_of(response))
    return (_padded if rule == "boundary" else normalise)(_without_label(response))


def tokens(text: str) -> list[str]:
    """The normal form as whole tokens, which the rule ``boundary`` compares.

    Of scripts that are written without spaces, a character is a token.
    """
    text = normalise(text)
    return text.split() if text.isascii() else _UNSPACED.sub(r" \1 ", text).split()


def _padded(text: str) -> str:
    """The normal form as whole tokens, a space on both sides of each."""
    return f" {joined} " if (joined := " ".join(tokens(text))) else " "


@lru_cache(maxsize=4096)
def _matcher(accepted: tuple[str, ...], rule: str) -> Matcher:
    return Matcher(accepted, rule)


def matches(response: str, accepted: Iterable[str], rule: str = "boundary") -> bool:
    """Whether ``response`` gives one of the ``accepted`` answers under ``rule``; see `Matcher`.

    Raises:
        InputError: there is no such rule.
    """
    return _matcher(tuple(accepted), rule)(response)


def is_refusal(
    response: str, accepted: Iterable[str] = (), lexicon: refusals.Lexicon | None = None
) -> bool:
    """Whether a response declines to answer; `lorepack.refusals` says how that is told.

    Args:
        response: what a model said; the label ``Answer:`` is skipped.
        accepted: right answers: a response that gives one of them does not decline.
        lexicon: what counts as declining; the shipped one when None.
    """
    found = (lexicon or refusals.shipped()).refuses(_without_label(response))
    aliases = tuple(accepted) if found else ()
    return found and not (aliases and matches(response, aliases))
