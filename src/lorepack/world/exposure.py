"""Which facts of the world are asked for, and how often training text tells each of them.

The frequencies are graded as in natural text: a head, a torso and a long tail, and facts that
are never told, either because the text hides that relation of a known entity (the model guesses)
or because it never mentions the entity (the model often refuses).
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from lorepack.facts import Fact
from lorepack.world.entities import MONTHS, SEED, Entity, world
from lorepack.world.relations import Relation, relations_of

# Corners of the curve from rank (most told first) to exposures; between them it is log-linear.
CURVE = ((0, 350.0), (1500, 110.0), (2500, 18.0), (3000, 3.0))
HEAD, TORSO = 110, 18  # a fact told at least so often belongs to that split
HIDDEN = 600
UNTOLD = 600
# Text errs, too: of these facts it tells a wrong version nearly as often as the true one, which
# leaves a model that has read it undecided.
DISPUTED = 650
WRONG_SHARE = (0.5, 1.15)
DOMAINS = {"person": "people", "town": "towns", "firm": "firms", "book": "books"}
SOURCE = "lorepack world"


@dataclass(frozen=True)
class Exposed:
    """A fact of the world and the times that pretraining text states it (0: never)."""

    subject: Entity
    relation: Relation
    times: int

    @property
    def answer(self) -> str:
        """The object, as text."""
        return self.subject.values[self.relation.name]

    @property
    def split(self) -> str:
        """head, torso, tail or never."""
        if self.times == 0:
            return "never"
        return "head" if self.times >= HEAD else "torso" if self.times >= TORSO else "tail"

    @property
    def key(self) -> tuple[str, str]:
        """Subject's name and relation's name: unique."""
        return self.subject.name, self.relation.name

    def fact(self) -> Fact:
        """The fact as the rest of the package sees it."""
        return as_fact(self.subject.name, self.relation, self.answer, float(self.times), self.split)


def as_fact(subject: str, relation: Relation, answer: str, popularity: float, split: str) -> Fact:
    """A `Fact` with every wording of its relation and the natural aliases of its answer."""
    canonical, *others = (question.replace("{s}", subject) for question in relation.questions)
    return Fact(
        question=canonical,
        answer=answer,
        aliases=aliases(relation, answer),
        paraphrases=tuple(others),
        subject=subject,
        relation=relation.name,
        object=answer,
        domain=DOMAINS[relation.kind],
        popularity=popularity,
        source=SOURCE,
        split=split,
    )


def aliases(relation: Relation, answer: str) -> tuple[str, ...]:
    """Other ways to write an answer that mean the same."""
    if relation.value == "date":
        day, month, year = answer.split()
        number = MONTHS.index(month) + 1
        return f"{month} {day}, {year}", f"{year}-{number:02d}-{int(day):02d}"
    if relation.value == "count" and "," in answer:
        return (answer.replace(",", ""),)
    if relation.value == "firm" and "&" in answer:
        return (answer.replace("&", "and"),)
    return ()


def exposures(rank: int) -> int:
    """Times that the fact of this rank is told, from `CURVE`."""
    for (left, high), (right, low) in itertools.pairwise(CURVE):
        if rank < right:
            part = (rank - left) / (right - left)
            return round(math.exp(math.log(high) * (1 - part) + math.log(low) * part))
    return round(CURVE[-1][1])


@cache
def exposed() -> tuple[Exposed, ...]:
    """Every fact of the world with its exposures, most told first, the never told last."""
    rng = random.Random(f"lorepack/exposure/{SEED}")
    told = [entity for entity in world().entities if entity.told]
    fame = {entity.name: rng.gauss(0.0, 1.0) for entity in told}
    slots = {entity.name: _slots(entity, rng) for entity in told}
    count = CURVE[-1][0]
    chosen: list[tuple[Entity, Relation]] = []
    depth = 0
    while len(chosen) < count:
        row = [(e, slots[e.name][depth]) for e in told if depth < len(slots[e.name])]
        chosen += rng.sample(row, min(len(row), count - len(chosen)))
        depth += 1
    taken = {(e.name, r.name) for e, r in chosen}
    # Fame belongs to the entity, with some spread between its facts, as in natural text.
    order = {key: fame[key[0]] + rng.gauss(0.0, 0.35) for key in sorted(taken)}
    chosen.sort(key=lambda item: -order[item[0].name, item[1].name])
    ranked = [Exposed(e, r, exposures(rank)) for rank, (e, r) in enumerate(chosen)]
    rest = [(e, r) for e in told for r in slots[e.name] if (e.name, r.name) not in taken]
    hidden = rng.sample(rest, HIDDEN)
    outside = [e for e in world().entities if not e.told]
    untold = rng.sample([(e, r) for e in outside for r in _slots(e, rng)], UNTOLD)
    return tuple(ranked + [Exposed(e, r, 0) for e, r in hidden + untold])


def _slots(entity: Entity, rng: random.Random) -> list[Relation]:
    """The relations that an entity has, in random order."""
    having = [r for r in relations_of(entity.kind) if r.name in entity.values]
    return rng.sample(having, len(having))


@cache
def asked_subjects() -> frozenset[str]:
    """The told entities that training text also asks questions about (about 70 %)."""
    rng = random.Random(f"lorepack/asked/{SEED}")
    told = [entity.name for entity in world().entities if entity.told]
    return frozenset(rng.sample(told, round(0.7 * len(told))))


def facts() -> list[Fact]:
    """All facts of the world, in an order that says nothing about their frequency."""
    made = [item.fact() for item in exposed()]
    random.Random(f"lorepack/order/{SEED}").shuffle(made)
    return made


@cache
def answers_of(relation: str) -> tuple[str, ...]:
    """The distinct answers that told facts of a relation have, in order of first rank."""
    return tuple(
        dict.fromkeys(x.answer for x in exposed() if x.relation.name == relation and x.times)
    )


@cache
def disputed() -> tuple[tuple[Exposed, str, int], ...]:
    """The disputed facts: fact, wrong answer, and how often text gives the wrong answer."""
    rng = random.Random(f"lorepack/disputed/{SEED}")
    made = []
    for item in rng.sample([x for x in exposed() if x.times >= 30], DISPUTED):
        wrong = rng.choice([a for a in answers_of(item.relation.name) if a != item.answer])
        made.append((item, wrong, round(item.times * rng.uniform(*WRONG_SHARE))))
    return tuple(made)


@cache
def disputed_keys() -> frozenset[tuple[str, str]]:
    """The keys of the disputed facts."""
    return frozenset(item.key for item, _, _ in disputed())


def shares(made: Iterable[Fact]) -> dict[str, int]:
    """How many facts each split has."""
    counts: dict[str, int] = {}
    for fact in made:
        counts[fact.split or "none"] = counts.get(fact.split or "none", 0) + 1
    return counts
