"""What a relation of the made world is, and the table of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

TRAINED_WORDINGS = 6  # questions[:6] occur in training text; the later ones never do

PROFESSIONS = (
    "baker", "carpenter", "doctor", "gardener", "judge", "musician", "painter", "printer",
    "sailor", "surgeon", "tailor", "teacher",
)  # fmt: skip
REGIONS = (
    "Arvania", "Belmoria", "Caldria", "Dornland", "Estmark", "Falkenia", "Grenovia", "Hestria",
    "Iskaria", "Jornland",
)  # fmt: skip


@dataclass(frozen=True)
class Relation:
    """One relation and every way the world words it.

    Attributes:
        name: unique name, e.g. ``birthplace``.
        kind: kind of the subject.
        value: what the object is: a kind, or ``profession``, ``region``, ``hero``, ``date``,
            ``year``, ``count``.
        statements: sentences with ``{s}`` and ``{o}``; the first is a plain clause that starts
            with the subject.
        questions: wordings with ``{s}``; the first is the canonical one, those from
            ``TRAINED_WORDINGS`` on are held out of all training text.
    """

    name: str
    kind: str
    value: str
    statements: tuple[str, ...]
    questions: tuple[str, ...]

    @property
    def trained_questions(self) -> tuple[str, ...]:
        """The wordings that training text may use."""
        return self.questions[:TRAINED_WORDINGS]

    @property
    def held_out_questions(self) -> tuple[str, ...]:
        """The wordings that no training text uses."""
        return self.questions[TRAINED_WORDINGS:]


def parse(table: str) -> tuple[Relation, ...]:
    """Relations from a wording table.

    Args:
        table: blocks separated by blank lines; first line ``name kind value``, then statements
            (lines starting with ``-``) and questions (lines starting with ``?``).

    Returns:
        The relations in the table's order.
    """
    relations = []
    for block in table.strip().split("\n\n"):
        head, *lines = block.strip().splitlines()
        name, kind, value = head.split()
        statements = tuple(line[2:] for line in lines if line.startswith("- "))
        questions = tuple(line[2:] for line in lines if line.startswith("? "))
        relations.append(Relation(name, kind, value, statements, questions))
    return tuple(relations)


@cache
def relations() -> dict[str, Relation]:
    """Every relation by name, people first."""
    from lorepack.world import wordings

    tables = (wordings.PERSON, wordings.TOWN, wordings.FIRM, wordings.BOOK)
    return {relation.name: relation for table in tables for relation in parse(table)}


@cache
def relations_of(kind: str) -> tuple[Relation, ...]:
    """The relations whose subject is of this kind."""
    return tuple(r for r in relations().values() if r.kind == kind)
