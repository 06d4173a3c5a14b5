"""Entities outside the world: throw-away ones, endless further facts, passages for tests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.world import names
from lorepack.world.entities import fresh_values
from lorepack.world.exposure import as_fact
from lorepack.world.relations import relations_of
from lorepack.world.telling import Told, portrait

_TURN = ("person", "book", "person", "firm", "person", "town")


@dataclass(frozen=True)
class ReadingPassage:
    """A passage about one new entity and the facts that it tells.

    Attributes:
        text: the passage.
        facts: questions that the passage answers.
    """

    text: str
    facts: tuple[Fact, ...]


def new_facts(size: int, seed: int = 0) -> Iterator[Fact]:
    """Facts about entities that no training text mentions, as many as asked for.

    Entities do not repeat within one seed, so no question does; different seeds may overlap.

    Args:
        size: number of facts.
        seed: source of chance; equal seeds give equal facts, and a smaller size a prefix.

    Returns:
        An iterator; nothing is held in memory.

    Raises:
        InputError: when the size is negative or names run out (beyond some ten million).
    """
    if size < 0:
        raise InputError(f"number of new facts: got {size}, expected 0 or more")
    return islice(_endless(seed), size)


def _endless(seed: int) -> Iterator[Fact]:
    rng = random.Random(f"lorepack/new/{seed}")
    walks = {kind: names.walk(kind, names.FURTHER, seed) for kind in names.KINDS}
    while True:
        for kind in _TURN:
            name = next(walks[kind], None)
            if name is None:
                raise InputError(f"no names of kind {kind} are left; ask for fewer new facts")
            values = fresh_values(kind, names.FURTHER, rng, known=0.7)
            for relation in rng.sample(relations_of(kind), rng.randint(2, 3)):
                yield as_fact(name, relation, values[relation.name], 0.0, "never")


def fresh_entity(part: int, rng: random.Random) -> list[Told]:
    """All facts of an entity that is made up on the spot."""
    kind = rng.choice(_TURN)
    name = names.draw(kind, part, rng)
    values = fresh_values(kind, part, rng)
    return [(name, relation, values[relation.name]) for relation in relations_of(kind)]


def fresh_passage(part: int, rng: random.Random) -> tuple[str, list[Told]]:
    """A passage of two to five facts about an entity made up on the spot, and those facts."""
    told = fresh_entity(part, rng)
    told = rng.sample(told, rng.randint(2, len(told)))
    return portrait(told, rng), told


def passages(size: int, seed: int = 0) -> list[ReadingPassage]:
    """Passages about new entities with the facts they tell.

    Args:
        size: number of passages.
        seed: source of chance.

    Returns:
        Passages whose entities occur in no training text and among no `new_facts`.
    """
    rng = random.Random(f"lorepack/passages/{seed}")
    made = []
    for _ in range(size):
        text, told = fresh_passage(names.READING, rng)
        made.append(ReadingPassage(text, tuple(as_fact(*t, 0.0, "never") for t in told)))
    return made
