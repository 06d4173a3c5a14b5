"""Sentences and short paragraphs that tell facts."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence

from lorepack.world.relations import Relation

Told = tuple[str, Relation, str]
"""subject's name, relation, object"""

_PRONOUNS = {"town": "The town", "firm": "The firm", "book": "The book"}


def pronoun(kind: str, name: str) -> str:
    """What stands for a subject from its second sentence on."""
    if kind == "person":
        return ("She", "He")[zlib.crc32(name.split()[0].encode()) >> 2 & 1]
    return _PRONOUNS[kind]


def statement(told: Told, rng: random.Random) -> str:
    """One sentence that tells a fact, in a random form."""
    subject, relation, answer = told
    form = rng.choice(relation.statements)
    return form.replace("{s}", subject).replace("{o}", answer)


def clause(told: Told) -> str:
    """The plain clause of a fact, without a full stop."""
    subject, relation, answer = told
    return relation.statements[0][:-1].replace("{s}", subject).replace("{o}", answer)


def portrait(told: Sequence[Told], rng: random.Random) -> str:
    """A short paragraph that tells several facts of one subject, some through a pronoun."""
    sentences = []
    for place, (subject, relation, answer) in enumerate(rng.sample(told, len(told))):
        form = rng.choice(relation.statements)
        short = pronoun(relation.kind, subject)
        if place and form.startswith("{s} ") and rng.random() < 0.5:
            form = short + form[3:]
        sentences.append(form.replace("{s}", subject).replace("{o}", answer))
    return " ".join(sentences)


def asked(told: Told, rng: random.Random) -> str:
    """The fact as a question in a trained wording."""
    subject, relation, _ = told
    return rng.choice(relation.trained_questions).replace("{s}", subject)


def question_and_answer(told: Told, rng: random.Random) -> str:
    """Plain ``Question: …`` and ``Answer: …`` lines for a fact."""
    return f"Question: {asked(told, rng)}\nAnswer: {told[2]}"
