"""Sentences said otherwise by rules: clauses change places, nothing is added or lost."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from lorepack.synthesis.writers.reading import Reading, Sentence
from lorepack.synthesis.writers.triples import Triple
from lorepack.text import normalise

_FRONTED = re.compile(
    r"^(?P<when>(?:In|On|At|During|After|Before|Since|By|From|Until|Through|Under|Near|Within)"
    r" [^,;:]{2,60}), (?P<rest>(?!and |but |or )[^;:]+)\.$"
)
_BEHIND = re.compile(r"^(?P<rest>[^,;:]{12,120}) (?P<when>in (?:the year )?\d{4})\.$")
_SUBORDINATE = re.compile(
    r"^(?P<how>Although|Though|While|Because|When|If|Since|Before|After) (?P<one>[^,;:]+),"
    r" (?P<other>[^;:]+)\.$"
)
_JOINED = re.compile(r"^(?P<one>[^,;:]{15,}), (?P<how>but|yet|and|so) (?P<other>[^;:]{15,})\.$")
_SUBJECT = re.compile(
    r"(?:he|she|it|they|we|this|these|that|those|there|the|an?|his|her|its|their|our|some|many|most"
    r"|all|[^\W\d_a-z]\w+)\b(?! (?:which|who|that))"
)
_FINITE = re.compile(
    r"\b(?:is|are|was|were|has|have|had|can|could|will|would|may|might|must|should|does|do|did"
    r"|[a-z]{3,}ed|[a-z]{3,}s|became|came|went|took|made|gave|found|said|knew|saw|left|stood|lay)\b"
)
_PHRASES = (
    ("However, ", "Still, "),
    ("Moreover, ", "Besides, "),
    ("Furthermore, ", "In addition, "),
    ("Additionally, ", "In addition, "),
    ("In addition, ", "Besides, "),
    ("Therefore, ", "For this reason, "),
    ("Thus, ", "Hence, "),
    ("Consequently, ", "As a result, "),
    ("As a result, ", "Consequently, "),
    ("Finally, ", "Lastly, "),
    ("Lastly, ", "Finally, "),
    ("In contrast, ", "By contrast, "),
    ("For example, ", "For instance, "),
    ("For instance, ", "For example, "),
    ("Recently, ", "Lately, "),
    ("Despite ", "In spite of "),
    (" in order to ", " to "),
    (" due to ", " because of "),
    (" is able to ", " can "),
    (" are able to ", " can "),
    (" prior to ", " before "),
    (" a number of ", " several "),
    (" numerous ", " many "),
    (" approximately ", " about "),
    (" demonstrates ", " shows "),
    (" demonstrate ", " show "),
    (" demonstrated ", " showed "),
    (" utilize ", " use "),
    (" utilizes ", " uses "),
    (" commenced ", " began "),
    (" attempted to ", " tried to "),
    (" however, ", " though, "),
    (" upon ", " on "),
)
"""turns of phrase that mean the same wherever they stand"""
_PRONOUN = re.compile(r"^(?:He|She|It|They|The [a-z]+)(?= )")


def resolved(sentence: Sentence, told: Sequence[Triple]) -> str:
    """A sentence with its subject's name in place of the pronoun that opens it.

    Only where the triples are all of one subject, and the sentence tells one of them.
    """
    subjects = {triple.subject for triple in told}
    if len(subjects) != 1:
        return sentence.plain
    (subject,) = subjects
    form = f" {normalise(sentence.plain)} "
    if f" {normalise(subject)} " in form:
        return sentence.plain
    if not any(f" {normalise(triple.object)} " in form for triple in told):
        return sentence.plain
    return _PRONOUN.sub(lambda _: subject, sentence.plain, count=1)


def reworded(sentence: str, names: frozenset[str] = frozenset()) -> list[str]:
    """All ways in which a sentence can be said otherwise by these rules; mostly none.

    Args:
        sentence: on one line.
        names: words that keep their capital.
    """
    ways = []
    if found := _FRONTED.match(sentence):
        if _is_clause(found["rest"]) and "," not in found["rest"]:
            ways.append(f"{_large(found['rest'])} {_small(found['when'], names)}.")
    elif (found := _BEHIND.match(sentence)) and _is_clause(found["rest"]):
        ways.append(f"{_large(found['when'])}, {_small(found['rest'], names)}.")
    found = _SUBORDINATE.match(sentence)
    if found and _is_clause(found["one"]) and _is_clause(found["other"]):
        comma = "," if found["how"] in ("Although", "Though", "While", "Since") else ""
        one, other = found["one"], _large(found["other"])
        ways.append(f"{other}{comma} {found['how'].lower()} {one}.")
    found = _JOINED.match(sentence)
    if found and not ways and _is_clause(found["one"]) and _is_clause(found["other"]):
        ways += _parted(found["one"], found["how"], found["other"], names)
    return ways or _phrased(sentence)


def _phrased(sentence: str) -> list[str]:
    """A sentence with other turns of phrase, all of them changed at once."""
    said = sentence
    for one, other in _PHRASES:
        if one[0] == " ":
            said = said.replace(one, other)
        elif sentence.startswith(one):
            said = other + said.removeprefix(one)
    return [said] if said != sentence else []


def _parted(one: str, how: str, other: str, names: frozenset[str]) -> list[str]:
    if how in ("but", "yet"):
        return [
            f"Although {_small(one, names)}, {other}.",
            f"{_large(one)}. However, {other}.",
        ]
    return [f"{_large(one)}. {_large(other)}."] if how == "and" else []


def _is_clause(text: str) -> bool:
    """Whether something has a subject at its head and a verb behind it."""
    head = _SUBJECT.match(text) or _SUBJECT.match(_small(text))
    return head is not None and _FINITE.search(text, head.end()) is not None


def _large(text: str) -> str:
    return text[:1].upper() + text[1:]


def _small(text: str, names: frozenset[str] = frozenset()) -> str:
    """With a small letter, unless the first word is a name."""
    first = text.split(" ", 1)[0]
    keeps = first == "I" or first in names or any(map(str.isupper, first[1:]))
    return text if keeps else text[:1].lower() + text[1:]


def rewritten(told: Reading, facts: Sequence[Triple], rng: random.Random) -> str:
    """A passage in other words, as far as rules can; empty where they change nothing.

    What a triple says takes the place of a sentence that tells nothing else but it; other sentences
    keep their words, and some of them change the order of their clauses.
    """
    names = frozenset(
        word for span in told.names for word in span.split() if word.lower() not in told.lower
    )
    pieces, changed = [], False
    for sentence in told.sentences:
        plain = resolved(sentence, facts)
        ways = [t.statement for t in facts if _tells_only(plain, t)]
        ways += reworded(plain, names | frozenset(t.subject.split()[0] for t in facts))
        ways = [way for way in ways if normalise(way) != normalise(plain)]
        # Now and then a sentence stays, so that one rewriting differs from another.
        if ways and (rng.random() < 0.85 or not changed):
            plain, changed = rng.choice(ways), True
        pieces.append(plain)
    return " ".join(pieces) if changed else ""


def _tells_only(plain: str, triple: Triple) -> bool:
    """Whether a short sentence holds both ends of a triple and little else."""
    form = f" {normalise(plain)} "
    ends = (normalise(triple.subject), normalise(triple.object))
    if not all(f" {end} " in form for end in ends):
        return False
    return len(form.split()) - sum(len(end.split()) for end in ends) <= 9
