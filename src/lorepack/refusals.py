"""Which responses decline to answer: an editable lexicon in several languages, and its guards.

A lexicon is YAML: for each language patterns that refuse, and what makes an answer of a response
that holds their words. ``refusals.yaml`` beside this file is the shipped one; its head says what
each entry does. The guards:

- what stands in quotes is mentioned, not said (``The song "I Don't Know"``);
- in a language whose titles are capitalised, a phrase in such capitals is a title;
- most phrases refuse only where a response begins ("Paris, but I'm not sure" is an answer), the
  others not behind a short answer and a "but";
- who offers an answer all the same has answered ("I'm not sure, but I think it was Rome").
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from lorepack.errors import InputError, NotFoundError, suggest

SHIPPED = Path(__file__).with_name("refusals.yaml")
LISTS = ("openers", "begins", "anywhere", "yet", "offers", "cues")
_ENTRIES = (*LISTS, "parts", "spaced", "titles")
_SEPARATORS = r"[\s,.;:!，。；：！、…–—-]*"
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|「[^」]*」|『[^』]*』|《[^》]*》")
_MENTION = "\u25a1"  # stands where something was quoted: a sign that no pattern looks for
_PART = re.compile(r"\{([a-z_]+)\}")
_SHORT = 4  # words of an answer that a doubt may follow; more are a clause about the question
_LONG_WORD = re.compile(r"[^\W\d_]{4,}|[^\W\d_]+'[^\W\d_]+")
_REMEMBERED = 1 << 16  # judged texts kept: the same refusals come again and again


@dataclass(frozen=True, slots=True)
class Language:
    """The patterns of one language, compiled."""

    name: str
    cues: tuple[str, ...]
    openers: re.Pattern[str] | None
    begins: re.Pattern[str] | None
    anywhere: re.Pattern[str] | None
    answered: re.Pattern[str] | None
    """a short answer and a "but", which a doubt may follow"""
    offers: re.Pattern[str] | None
    titles: bool

    def refuses(self, text: str, lowered: str) -> bool:
        """Whether ``text`` (tidied; ``lowered`` the same in lower case) declines to answer."""
        if self.cues and not any(cue in lowered for cue in self.cues):
            return False
        if not self._phrase(text):
            return False
        return self.offers is None or self.offers.search(text) is None

    def _phrase(self, text: str) -> bool:
        if self.openers is not None and (opener := self.openers.match(text)) is not None:
            text = text[opener.end() :]
        if self.begins is not None and (found := self.begins.match(text)) is not None:
            return not self._is_title(found[0])
        if self.anywhere is None:
            return False
        found = self.anywhere.search(text)
        if found is None or self._is_title(found[0]):
            return False
        return self.answered is None or self.answered.fullmatch(text[: found.start()]) is None

    def _is_title(self, phrase: str) -> bool:
        """Whether all longer words but the first of the phrase are capitalised, not shouted."""
        words = [w for w in _LONG_WORD.finditer(phrase) if w.start() > 0]
        if not self.titles or not words or phrase.isupper():
            return False
        return all(word[0][0].isupper() for word in words)


class Lexicon:
    """What counts as declining to answer, compiled once; see the head of ``refusals.yaml``."""

    def __init__(self, text: str, where: str = "refusals") -> None:
        """Compile a lexicon.

        Args:
            text: the YAML.
            where: what errors call it, such as its path.

        Raises:
            InputError: not YAML, an unknown entry (with a suggestion) or a broken pattern.
        """
        rows = _read(text, where)
        self.languages = tuple(_language(name, row, where) for name, row in rows.items())
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()
        self.refuses = lru_cache(maxsize=_REMEMBERED)(self._refuses)

    def _refuses(self, response: str) -> bool:
        """Whether a response (without a label such as ``Answer:``) declines to answer."""
        text = tidied(response)
        lowered = text.lower()
        return any(language.refuses(text, lowered) for language in self.languages)


@cache
def shipped() -> Lexicon:
    """The lexicon that comes with the package."""
    return Lexicon(SHIPPED.read_text(encoding="utf-8"), SHIPPED.name)


@lru_cache(maxsize=8)
def of_text(text: str) -> Lexicon:
    """The lexicon that ``text`` is; the shipped one for an empty text."""
    return Lexicon(text) if text else shipped()


def read(path: Path | str) -> str:
    """The text of a user's lexicon, after it was compiled once.

    Raises:
        NotFoundError: there is no such file.
        InputError: it cannot be read, or is no lexicon.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(f"no such file of refusals: {path}")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    Lexicon(text, str(path))
    return text


def tidied(response: str) -> str:
    """The text that patterns see: composed letters, straight apostrophes, quotations left out."""
    text = response if response.isascii() else unicodedata.normalize("NFC", response)
    text = " ".join(text.replace("’", "'").replace("‘", "'").split())
    return _QUOTED.sub(_MENTION, text)


def _read(text: str, where: str) -> dict[str, Mapping[str, Any]]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not valid YAML ({' '.join(str(error).split())})") from error
    rows = document.get("languages") if isinstance(document, dict) else None
    if not isinstance(rows, dict) or not rows:
        raise InputError(f"{where}: expected `languages:` with at least one language")
    if document.get("schema") != 1:
        raise InputError(f"{where}: schema {document.get('schema')!r}; expected 1")
    for name, row in rows.items():
        if not isinstance(row, dict):
            raise InputError(f"{where}: {name}: expected entries such as `begins:`")
        for key in row:
            if key not in _ENTRIES:
                raise InputError(f"{where}: {name}: no entry {key!r}{suggest(str(key), _ENTRIES)}")
        parts = row.get("parts", {})
        if not isinstance(parts, dict) or not all(isinstance(k, str) for k in parts):
            raise InputError(
                f"{where}: {name}.parts: expected names (quote yes and no) and patterns"
            )
        for key in LISTS:
            given = row.get(key, [])
            if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
                raise InputError(f"{where}: {name}.{key}: expected a list of texts")
        if not row.get("begins") and not row.get("anywhere"):
            raise InputError(f"{where}: {name}: neither `begins` nor `anywhere` has an entry")
    return {str(name): row for name, row in rows.items()}


def _language(name: str, row: Mapping[str, Any], where: str) -> Language:
    spaced = bool(row.get("spaced", True))

    def either(key: str) -> str:
        parts = row.get("parts", {})
        found = [_filled(entry, parts, f"{where}: {name}.{key}") for entry in row.get(key, [])]
        for entry in found:
            _compiled(entry, f"{where}: {name}.{key}")
        joined = f"(?:{'|'.join(found)})"
        return rf"(?<!\w){joined}(?!\w)" if spaced else joined

    def optional(key: str) -> re.Pattern[str] | None:
        return _compiled(either(key), f"{where}: {name}.{key}") if row.get(key) else None

    openers = f"{_SEPARATORS}(?:{either('openers')}{_SEPARATORS})*"
    answer = (
        rf"[\w{_MENTION}][^,.;，。；、(–—]*"
        if not spaced
        else (rf"[\w{_MENTION}][\w'{_MENTION}-]*(?: [\w'{_MENTION}-]+){{0,{_SHORT - 1}}}")
    )
    answered = rf"{answer}[\s,.;:，。；、(–—-]*{either('yet')}[\s,，、]*"
    return Language(
        name=name,
        cues=tuple(cue.lower() for cue in row.get("cues", [])),
        openers=_compiled(openers, f"{where}: {name}.openers") if row.get("openers") else None,
        begins=optional("begins"),
        anywhere=optional("anywhere"),
        answered=_compiled(answered, f"{where}: {name}.yet") if row.get("yet") else None,
        offers=optional("offers"),
        titles=bool(row.get("titles", False)),
    )


def _filled(entry: str, parts: Mapping[str, str], where: str, depth: int = 0) -> str:
    """An entry with its parts in their places; parts may hold parts."""

    def part(found: re.Match[str]) -> str:
        if found[1] not in parts or depth > len(parts):
            raise InputError(f"{where}: no part {found[1]!r}{suggest(found[1], parts)}")
        return f"(?:{_filled(str(parts[found[1]]), parts, where, depth + 1)})"

    return _PART.sub(part, entry)


def _compiled(pattern: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise InputError(f"{where}: broken pattern ({error}): {pattern[:80]}") from error


def counted(lexicon: Lexicon, responses: Sequence[str]) -> int:
    """How many of some responses decline to answer."""
    return sum(map(lexicon.refuses, responses))
