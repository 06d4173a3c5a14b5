"""From IRIs to words: labels, questions that read well, and answers that say nothing."""

from __future__ import annotations

import re
from urllib.parse import unquote

RESOURCE = "http://dbpedia.org/resource/"
ONTOLOGY = "http://dbpedia.org/ontology/"
NAMESPACES = {
    ONTOLOGY: "",
    "http://xmlns.com/foaf/0.1/": "foaf:",
    "http://purl.org/dc/elements/1.1/": "dc:",
    "http://purl.org/dc/terms/": "dc:",
    "http://www.w3.org/2000/01/rdf-schema#": "rdfs:",
    "http://www.w3.org/2002/07/owl#": "owl:",
}
ADDRESSED = frozenset({"page", "homepage", "webcast", "foaf:homepage", "foaf:page"})
"""relations whose answers are web addresses"""
LEFT_OUT = frozenset({"category", "isPartOf"})
"""relations that say too little to ask about"""

# Answers that name a page of another kind than the one asked for, by relation.
_GENERIC = {
    "deathCause": r"death\b|killing of\b",
    "computingPlatform": r"cross-platform$",
    "operatingSystem": r".*\bsystem software$",
    "presenter": r".*\bawards$",
    "honours": r"honours of\b",
    "canton": r"cantons of\b",
    "ethnicGroup": r"ethnic groups\b",
    "battery": r".*\bkwh$|kilowatt.hour$",
    "electrification": r".*\bvolts?$",
    "notableCommander": r"(major |lieutenant |brigadier )?general( officer)?$",
    "militaryRank": r"military ranks?\b",
    "symptom": r"symptoms?$",
    "island": r"islands?$",
    "college": r".*\bbasketball$",
}
GENERIC = {name: re.compile(form, re.IGNORECASE) for name, form in _GENERIC.items()}
_LAST = re.compile(r"[^/#]*(?=[/#]*$)")
REASONS = ("web_address", "no_label", "list", "answer_in_subject", "generic_answer")
"""why a triple with a template makes no fact"""
_TRAILING = re.compile(r" \(([^()]*)\)$")


def relation_name(iri: str) -> str:
    """A relation as templates call it: ``birthPlace``, ``foaf:homepage``."""
    for space, short in NAMESPACES.items():
        if iri.startswith(space):
            return short + iri[len(space) :]
    return iri


def relation_iris(name: str) -> list[str]:
    """The IRIs that `relation_name` calls so."""
    short, colon, rest = name.partition(":")
    prefix = short + colon if colon else ""
    return [space + (rest if colon else name) for space, s in NAMESPACES.items() if s == prefix]


def label(iri: str) -> str | None:
    """The name of an entity in words; None for a node that has none of its own.

    Args:
        iri: without brackets, percent-encoded or not. ``AC/DC`` keeps its slash.
    """
    own = iri[len(RESOURCE) :] if iri.startswith(RESOURCE) else _LAST.findall(iri)[0]
    text = unquote(own)
    if not text or "__" in text or not text.isprintable():
        return None
    return " ".join(text.replace("_", " ").split()) or None


def why_not(relation: str, subject: str, answer: str) -> str | None:
    """Why a labelled triple makes no good fact; None when it does."""
    if subject.startswith("List of ") or answer.startswith("List of "):
        return "list"
    if answer.casefold() in subject.casefold():
        return "answer_in_subject"
    form = GENERIC.get(relation)
    return "generic_answer" if form and form.match(answer) else None


def question(template: str, subject: str) -> str:
    """A wording with its subject, without doubled words.

    A trailing ``(film)`` is left out where the question says "film" already.
    """
    found = _TRAILING.search(subject)
    if found and re.search(rf"\b{re.escape(found[1])}\b", template, re.IGNORECASE):
        subject = subject[: found.start()]
    text = template.replace("{s}", subject)
    return re.sub(r"\bthe the\b", "the", text, flags=re.IGNORECASE)
