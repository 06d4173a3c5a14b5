"""The form ``entity-pairs``: how two entities of a document are related.

After EntiGraph (Yang et al., arXiv 2409.07431): the entities of a document are listed
first; then pairs of them are drawn, and each is discussed by a passage in which both occur.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from random import Random

from lorepack.facts.passage import Passage
from lorepack.synthesis.forms.form import Ask, Form, Job, Talk
from lorepack.synthesis.forms.rounds import draft
from lorepack.text import normalise

_LISTED = 24  # entities asked for, a passage
_HELD = 60  # most entities of a passage that pairs are made of: 1,770 pairs

Pair = tuple[str, str, Passage]


def _write(job: Job) -> Talk:
    passages = list(job.passages)
    replies = yield [Ask("entities", passage, _LISTED) for passage in passages]
    names = [name for reply in replies if reply is not None for name in reply.items]
    pairs = _pairs(_occurrences(passages, names), passages, job.rng)
    kept = 0
    for _ in range(1 + job.rounds):
        turn = list(islice(pairs, max(job.n - kept, 0)))
        if not turn:
            return
        asks = [Ask("pair", p, 1, {"first": one, "second": other}) for one, other, p in turn]
        replies = yield asks
        for (one, other, passage), text in zip(turn, replies, strict=True):
            if text is not None:
                item = draft("entity-pairs", passage, text=text, subject=one, object=other)
                kept += job.admit(passage, [item])


def _occurrences(passages: Sequence[Passage], names: Sequence[str]) -> list[list[str]]:
    """The entities that occur in each passage, by normal form; one name an entity."""
    entities: dict[str, str] = {}
    for name in names:
        if form := normalise(name):
            entities.setdefault(form, name)
    occurring = []
    for passage in passages:
        text = f" {normalise(passage.text)} "
        inside = [name for form, name in entities.items() if f" {form} " in text]
        occurring.append(inside[:_HELD])
    return occurring


def _pairs(
    occurring: Sequence[Sequence[str]], passages: Sequence[Passage], rng: Random
) -> Iterator[Pair]:
    """All pairs in a random order, each with a passage in which both occur."""
    places: dict[tuple[str, str], list[int]] = {}
    for place, names in enumerate(occurring):
        for one, other in combinations(sorted(names), 2):
            if not _same(one, other):
                places.setdefault((one, other), []).append(place)
    drawn = sorted(places)
    rng.shuffle(drawn)
    for one, other in drawn:
        yield one, other, passages[rng.choice(places[one, other])]


def _same(one: str, other: str) -> bool:
    """Whether one name is a part of the other: "Ada Lovelace" and "Lovelace"."""
    short, long = sorted((normalise(one), normalise(other)), key=len)
    return f" {short} " in f" {long} "


ENTITY_PAIRS = Form(
    name="entity-pairs",
    about="how two entities of a document are related, pair by pair",
    default=4,
    yields="texts",
    write=_write,
    per="document",
    source="EntiGraph (arXiv 2409.07431), entities and pairs",
)
