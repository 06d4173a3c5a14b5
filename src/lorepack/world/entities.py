"""The entities of the world and their consistent values, all from one seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

from lorepack.world import names
from lorepack.world.relations import PROFESSIONS, REGIONS

SEED = 20
COUNTS = {"person": 880, "town": 400, "firm": 320, "book": 420}
TOLD_SHARE = 0.75  # of the entities of a kind; the others never occur in any training text
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip


@dataclass
class Entity:
    """One entity.

    Attributes:
        name: unique over the world.
        kind: person, town, firm or book.
        told: whether training text may mention it.
        values: object of each relation it has, as text.
        born: year of birth of a person, else 0.
    """

    name: str
    kind: str
    told: bool
    values: dict[str, str] = field(default_factory=dict)
    born: int = 0


def deck(cards: Sequence[str], rng: random.Random) -> Iterator[str]:
    """Cards without end, each equally often, so that no answer is over-represented."""
    while True:
        yield from rng.sample(cards, len(cards))


def date_in(year: int, rng: random.Random) -> str:
    """A day of a year, written like ``12 March 1874``."""
    return f"{rng.randint(1, 28)} {rng.choice(MONTHS)} {year}"


def count_of(low: int, high: int, step: int, rng: random.Random) -> str:
    """A whole number in [low, high), written with thousands separators."""
    return f"{rng.randrange(low, high, step):,}"


@dataclass(frozen=True)
class World:
    """All entities, by kind and by name."""

    entities: tuple[Entity, ...]
    by_name: dict[str, Entity]

    def of(self, kind: str, told: bool | None = None) -> list[Entity]:
        """The entities of a kind, all of them or only the told or untold ones."""
        return [e for e in self.entities if e.kind == kind and told in (None, e.told)]


def _named(kind: str, rng: random.Random) -> list[Entity]:
    """Entities without values; the parts that carry the recall (surnames, …) do not repeat."""
    entities: list[Entity] = []
    seen: set[str] = set()
    while len(entities) < COUNTS[kind]:
        name = names.draw(kind, names.WORLD, rng)
        keyed = name.split()[-1] if kind == "person" else name
        if keyed not in seen:
            seen.add(keyed)
            told = len(entities) < round(TOLD_SHARE * COUNTS[kind])
            entities.append(Entity(name, kind, told))
    return entities


@cache
def world() -> World:
    """The world. Objects are told entities only, so that untold names never slip into text."""
    rng = random.Random(f"lorepack/world/{SEED}")
    kinds = {kind: _named(kind, rng) for kind in names.KINDS}
    told = {kind: [e.name for e in made if e.told] for kind, made in kinds.items()}
    decks = {kind: deck(cards, rng) for kind, cards in told.items()}
    regions, trades = deck(REGIONS, rng), deck(PROFESSIONS, rng)
    by_name = {e.name: e for made in kinds.values() for e in made}
    for person in kinds["person"]:
        person.born = rng.randint(1760, 1960)
    teachers = [p for p in kinds["person"] if p.told]
    for town in kinds["town"]:
        town.values["region"] = next(regions)
        town.values["founding_year"] = str(rng.randint(1100, 1749))
        town.values["population"] = count_of(2_100, 98_000, 100, rng)
        town.values["mayor"] = next(decks["person"])
    for person in kinds["person"]:
        person.values["birthplace"] = next(decks["town"])
        person.values["birth_date"] = date_in(person.born, rng)
        person.values["employer"] = next(decks["firm"])
        older = [t.name for t in teachers if 12 <= person.born - t.born <= 45]
        if older:
            person.values["mentor"] = rng.choice(older)
        person.values["profession"] = next(trades)
    for firm in kinds["firm"]:
        firm.values["founder"] = next(decks["person"])
        firm.values["seat"] = next(decks["town"])
        firm.values["staff"] = count_of(21, 4_000, 1, rng)
    heroes: set[str] = set()
    for book in kinds["book"]:
        author = by_name[next(decks["person"])]
        hero = names.draw("person", names.WORLD, rng)
        while hero in heroes or hero in by_name:
            hero = names.draw("person", names.WORLD, rng)
        heroes.add(hero)
        book.values["author"] = author.name
        book.values["publication_year"] = str(author.born + rng.randint(22, 60))
        book.values["hero"] = hero
        book.values["publisher"] = next(decks["firm"])
    return World(tuple(e for made in kinds.values() for e in made), by_name)


def fresh_values(kind: str, part: int, rng: random.Random, known: float = 0.5) -> dict[str, str]:
    """Values for an entity outside the world.

    Args:
        kind: kind of the entity.
        part: owner of the names that are made up for its objects.
        rng: source of chance.
        known: share of the objects of a kind that are told entities of the world.

    Returns:
        The object of each relation of the kind.
    """
    told = _told_names()

    def other(object_kind: str) -> str:
        if rng.random() < known:
            return rng.choice(told[object_kind])
        return names.draw(object_kind, part, rng)

    if kind == "person":
        return {
            "birthplace": other("town"),
            "birth_date": date_in(rng.randint(1760, 1960), rng),
            "employer": other("firm"),
            "mentor": other("person"),
            "profession": rng.choice(PROFESSIONS),
        }
    if kind == "town":
        return {
            "region": rng.choice(REGIONS),
            "founding_year": str(rng.randint(1100, 1749)),
            "population": count_of(2_100, 98_000, 100, rng),
            "mayor": other("person"),
        }
    if kind == "firm":
        return {
            "founder": other("person"),
            "seat": other("town"),
            "staff": count_of(21, 4_000, 1, rng),
        }
    return {
        "author": other("person"),
        "publication_year": str(rng.randint(1782, 2020)),
        "hero": names.draw("person", part, rng),
        "publisher": other("firm"),
    }


@cache
def _told_names() -> dict[str, list[str]]:
    return {kind: [e.name for e in world().of(kind, told=True)] for kind in names.KINDS}
