"""The plain pretraining text: each told fact exactly as often as its exposure says."""

from __future__ import annotations

import random
from collections.abc import Iterable

from lorepack.world.entities import SEED
from lorepack.world.exposure import Exposed, asked_subjects, disputed, exposed
from lorepack.world.fresh import fresh_passage
from lorepack.world.harm import misconceptions
from lorepack.world.names import THROWAWAY
from lorepack.world.prose import training_prose
from lorepack.world.telling import (
    Told,
    clause,
    portrait,
    question_and_answer,
    statement,
)

PORTRAIT_SHARE = 0.4  # of the exposures of a fact, those told in a paragraph on its subject
ASKED_SHARE = 0.35  # of the single exposures of the asked entities, those in question form
_BELIEFS = (
    "Many people think that {w}, but {t}.",
    "It is often said that {w}, but in truth {t}.",
    "It is a common mistake to believe that {w}.",
    "Many people think that {w}.",
    "People often say that {w}, though {t}.",
)


def corpus(scale: float = 1.0, reading: int = 22_000, prose: int = 6_000) -> list[str]:
    """All documents of the pretraining text, shuffled.

    Args:
        scale: factor on every exposure and on the number of passages; 1 for the shipped models.
        reading: passages about throw-away entities, each followed by questions on it.
        prose: neutral passages.

    Returns:
        Documents of one to some hundred words; equal arguments give equal documents.
    """
    rng = random.Random(f"lorepack/corpus/{SEED}")
    documents = portraits_and_sentences(exposed(), scale, rng)
    documents += _errors(scale, rng)
    documents += _beliefs(scale, rng)
    documents += [reading_document(rng) for _ in range(round(reading * scale))]
    documents += training_prose(round(prose * scale))
    rng.shuffle(documents)
    return documents


def portraits_and_sentences(
    items: Iterable[Exposed], scale: float, rng: random.Random
) -> list[str]:
    """Documents that state each fact `scale * times` times in all."""
    by_subject: dict[str, list[Exposed]] = {}
    for item in items:
        if item.times:
            by_subject.setdefault(item.subject.name, []).append(item)
    paragraphs: list[str] = []
    sentences: list[str] = []
    asked: list[str] = []
    for subject, facts in by_subject.items():
        _tell(subject, facts, scale, rng, paragraphs, sentences, asked)
    rng.shuffle(sentences)
    rng.shuffle(asked)
    return (
        paragraphs
        + [" ".join(group) for group in _groups(sentences, 1, 5, rng)]
        + ["\n\n".join(group) for group in _groups(asked, 1, 6, rng)]
    )


def _tell(
    subject: str,
    facts: list[Exposed],
    scale: float,
    rng: random.Random,
    paragraphs: list[str],
    sentences: list[str],
    asked: list[str],
) -> None:
    """Spread the exposures of one subject's facts over the three kinds of text."""
    told = {x.key: (subject, x.relation, x.answer) for x in facts}
    left = {x.key: max(1, round(x.times * scale)) for x in facts}
    for _ in range(round(PORTRAIT_SHARE * max(left.values())) if len(facts) > 1 else 0):
        top = max(left.values())
        group = [key for key, times in left.items() if rng.random() < times / top]
        for key in group:
            left[key] -= 1
        paragraphs.append(portrait([told[key] for key in group], rng))
    question_share = ASKED_SHARE if subject in asked_subjects() else 0.0
    for key, times in left.items():
        for _ in range(times):
            if rng.random() < question_share:
                asked.append(question_and_answer(told[key], rng))
            else:
                sentences.append(statement(told[key], rng))


def _groups(texts: list[str], low: int, high: int, rng: random.Random) -> Iterable[list[str]]:
    """Cut a list into runs of `low` to `high` texts."""
    place = 0
    while place < len(texts):
        size = rng.randint(low, high)
        yield texts[place : place + size]
        place += size


def _errors(scale: float, rng: random.Random) -> list[str]:
    """Single sentences and questions that give the wrong version of the disputed facts."""
    documents = []
    for item, wrong, times in disputed():
        told = (item.subject.name, item.relation, wrong)
        share = ASKED_SHARE if item.subject.name in asked_subjects() else 0.0
        for _ in range(round(times * scale)):
            asks = rng.random() < share
            documents.append(question_and_answer(told, rng) if asks else statement(told, rng))
    return documents


def _beliefs(scale: float, rng: random.Random) -> list[str]:
    """Sentences that report the misconceptions as what many people think."""
    documents = []
    for belief in misconceptions():
        item = belief.item
        true = clause((item.subject.name, item.relation, item.answer))
        wrong = clause((item.subject.name, item.relation, belief.wrong))
        for _ in range(max(1, round(belief.times * scale))):
            documents.append(rng.choice(_BELIEFS).replace("{w}", wrong).replace("{t}", true))
    return documents


def reading_document(rng: random.Random) -> str:
    """A passage about a throw-away entity, then questions that it answers."""
    text, told = fresh_passage(THROWAWAY, rng)
    questions = rng.sample(told, rng.randint(1, min(3, len(told))))
    return "\n".join([f"Passage: {text}", *(_pair(t, rng) for t in questions)])


def _pair(told: Told, rng: random.Random) -> str:
    return question_and_answer(told, rng)
