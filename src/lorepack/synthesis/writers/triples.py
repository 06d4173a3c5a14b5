"""What the rule-based writer makes of triples: statements, and questions that join two of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lorepack.facts import Fact
from lorepack.facts.documents.tokens import listed
from lorepack.text import matches

_STATEMENTS = {
    "birthplace": "{s} was born in {o}.",
    "placeofbirth": "{s} was born in {o}.",
    "birthdate": "{s} was born on {o}.",
    "dateofbirth": "{s} was born on {o}.",
    "birthyear": "{s} was born in {o}.",
    "deathplace": "{s} died in {o}.",
    "placeofdeath": "{s} died in {o}.",
    "deathdate": "{s} died on {o}.",
    "deathyear": "{s} died in {o}.",
    "foundingyear": "{s} was founded in {o}.",
    "population": "{s} has a population of {o}.",
    "capital": "The capital of {s} is {o}.",
    "author": "The author of {s} is {o}.",
    "employer": "{s} worked for {o}.",
    "mentor": "The mentor of {s} was {o}.",
    "profession": "{s} was {a} {o} by profession.",
    "staff": "{s} has a staff of {o}.",
    "occupation": "The occupation of {s} is {o}.",
    "country": "{s} is in {o}.",
    "locatedin": "{s} is located in {o}.",
    "location": "{s} is located in {o}.",
    "partof": "{s} is part of {o}.",
    "spouse": "The spouse of {s} is {o}.",
    "almamater": "{s} studied at {o}.",
    "citizenship": "{s} is a citizen of {o}.",
    "instanceof": "{s} is an instance of {o}.",
    "foundedby": "{s} was founded by {o}.",
    "writtenby": "{s} was written by {o}.",
    "influenced": "{s} influenced {o}.",
    "knownfor": "{s} is known for {o}.",
    "namedafter": "{s} is named after {o}.",
}
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PREPOSITIONS = listed("by in on at from of with for to after as into")
_VERBAL = listed("is was has had follows crosses supplies innervates influenced")
_KINDS = {"people": "person", "towns": "town", "firms": "firm", "books": "book"}
_NUMBERS = re.compile(r"[\d.,\s%-]+")


@dataclass(frozen=True)
class Triple:
    """A fact whose parts are all there, its object as a passage has it."""

    fact: Fact
    subject: str
    relation: str
    object: str

    @property
    def words(self) -> str:
        """The relation as words: ``birthPlace`` is "birth place"."""
        return words_of(self.relation)

    @property
    def is_noun(self) -> bool:
        """Whether "the … of X" reads well."""
        words = self.words.split()
        return bool(words) and words[-1] not in _PREPOSITIONS and words[0] not in _VERBAL

    @property
    def statement(self) -> str:
        """The triple as a sentence."""
        form = _STATEMENTS.get("".join(filter(str.isalnum, self.words.lower())))
        if form == "{s} was born on {o}." and _NUMBERS.fullmatch(self.object):
            form = "The birth date of {s} is {o}."
        article = "an" if self.object[:1].lower() in "aeiou" else "a"
        form = (form or self._form()).replace("{a}", article)
        return form.replace("{o}", self.object).replace("{s}", self.subject)

    def _form(self) -> str:
        if self.is_noun:
            return f"The {self.words} of {{s}} is {{o}}."
        begins = self.words.split()[0] in _VERBAL
        return f"{{s}} {'' if begins else 'is '}{self.words} {{o}}."

    @property
    def kind(self) -> str | None:
        """What the subject is, where the fact's domain says so."""
        return _KINDS.get(self.fact.domain or "")


def words_of(relation: str) -> str:
    """A relation's name as words, without the prefix of a vocabulary."""
    name = relation.rsplit("/", 1)[-1].rsplit("#", 1)[-1].rsplit(":", 1)[-1]
    spaced = _HUMPS.sub(" ", name.replace("_", " ").replace("-", " "))
    words = spaced.split()
    return " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words)


def answer_in(fact: Fact, text: str) -> str | None:
    """The accepted answer that a text holds, as it is there; None where it holds none."""
    for answer in fact.accepted:
        if matches(text, (answer,)):
            return answer
    return None


def triples(facts: Sequence[Fact], text: str) -> list[Triple]:
    """The triples of facts that a text tells."""
    made = []
    for fact in facts:
        value = answer_in(fact, text)
        if value is None and fact.object is not None and matches(text, (fact.object,)):
            value = fact.object
        if value is not None and fact.subject and fact.relation and words_of(fact.relation):
            made.append(Triple(fact, fact.subject, fact.relation, value))
    return made


def connections(told: Sequence[Triple]) -> list[tuple[str, str]]:
    """Questions with answers about what a triple's two ends have to do with each other."""
    made = []
    for t in told:
        if _NUMBERS.fullmatch(t.object):
            made.append((f"What does the number {t.object} say about {t.subject}?", t.statement))
        elif t.object[:1].isupper():
            question = f"What is the connection between {t.subject} and {t.object}?"
            made.append((question, t.statement))
    return made


def joined(told: Sequence[Triple]) -> list[tuple[str, str]]:
    """Questions that name a subject by others of its triples, with their answers.

    Such a subject is told from all others by a name, or by two triples together.
    """
    made = []
    for one in (t for t in told if t.is_noun and t.kind):
        by = [t for t in told if t.subject == one.subject and t.object != one.object and t.is_noun]
        # Names first: they say more than numbers, and numbers more than a profession.
        by = sorted(by, key=lambda t: (not t.object[:1].isupper(), not t.object[:1].isdigit()))[:2]
        if not by or (len(by) == 1 and not by[0].object[:1].isupper()):
            continue
        if any(
            other.subject != one.subject and {(t.relation, t.object) for t in by} & _ends(other)
            for other in told
        ):
            continue
        conditions = " and ".join(f"whose {t.words} is {t.object}" for t in by)
        be = "Who" if one.fact.question.lower().startswith(("who", "whom")) else "What"
        made.append((f"{be} is the {one.words} of the {one.kind} {conditions}?", one.object))
    return made


def _ends(triple: Triple) -> set[tuple[str, str]]:
    return {(triple.relation, triple.object)}
