"""A made dump with the statistics of DBpedia's mapping-based object relations, at any size."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np

from lorepack.facts.importing.templates import SHIPPED

ENTITIES_A_LINE = 8.0 / 22.8  # distinct entities for each line of the real dump
TRIPLES_A_SUBJECT = 4.0
RELATIONS = 633
_PARTS = (
    "Saint", "Lake", "North", "Upper", "Mount", "River", "New", "Old", "Grand", "Port", "Fort",
    "Santa", "San", "Villa", "Nova", "Alta", "Bad", "Klein", "Groß", "Île", "Côte", "Łódź",
)  # fmt: skip
_ODD = ("%28film%29", "%C3%A9", "AC/DC", "O%27Brien", "%22Heroes%22", "_%28band%29", "__1")


def write_dump(path: Path, lines: int, seed: int = 0, entities: int | None = None) -> None:
    """Write a dump: runs of one subject, objects by a power law, 633 relations, encoded names.

    Args:
        path: a plain file.
        lines: lines in all; one in 10,000 is a comment, a literal, blank or malformed.
        seed: equal arguments give equal bytes.
        entities: names to draw from, of which some never come up; None takes as many for each line
            as the real dump has.
    """
    rng, odd = np.random.default_rng(seed), random.Random(seed)
    names = _entities(entities or max(50, int(lines * ENTITIES_A_LINE)), odd)
    relations = _relations()
    weights = 1.0 / np.arange(1, len(relations) + 1)
    with open(path, "w", encoding="utf-8", newline="\n") as handle:
        handle.write("# started\n")
        left, first = lines - 1, 0
        while left > 0:
            size = min(left, 200_000)
            # Page after page, as an extraction writes them: a subject's triples stand together.
            runs = rng.geometric(1 / TRIPLES_A_SUBJECT, size)
            subjects = (first + np.repeat(np.arange(size), runs)[:size]) % len(names)
            first = int(subjects[-1]) + 1
            objects = _zipf(rng, size, len(names))
            chosen = rng.choice(len(relations), size, p=weights / weights.sum())
            order = np.lexsort((chosen, subjects))
            rows = [
                f"{names[s]} {relations[p]} {names[o]} .\n"
                for s, p, o in zip(subjects[order], chosen[order], objects, strict=True)
            ]
            for place in rng.integers(0, size, size // 10_000):
                rows[place] = odd.choice(_BAD)
            handle.writelines(rows)
            left -= size


_BAD = (
    "# a comment\n",
    "\n",
    '<http://dbpedia.org/resource/A> <http://dbpedia.org/ontology/name> "A b c"@en .\n',
    '<http://dbpedia.org/resource/A> <http://dbpedia.org/ontology/year> "1923" .\n',
    "<http://dbpedia.org/resource/Half> <http://dbpe\n",
    "<http://dbpedia.org/resource/A <http://dbpedia.org/ontology/x> <http://no/end .\n",
)


def _zipf(rng: np.random.Generator, size: int, names: int) -> np.ndarray:
    """Places of names by a power law: a few in very many lines, most in one or two."""
    return np.minimum((names * rng.random(size) ** 2.2).astype(np.int64), names - 1)


def _entities(count: int, odd: random.Random) -> list[str]:
    made = []
    for number in range(count):
        text = f"{odd.choice(_PARTS)}_{odd.choice(_PARTS)}_{number}"
        if odd.random() < 0.04:
            text += odd.choice(_ODD)
        made.append(f"<http://dbpedia.org/resource/{text}>")
    return made


def _relations() -> list[str]:
    """Relations with templates among others without, as in the real dump."""
    with open(SHIPPED, encoding="utf-8") as lines:
        known = [name for line in lines if ":" not in (name := json.loads(line)["relation"])]
    names = [*known[:560], *(f"unaskedRelation{i}" for i in range(RELATIONS - 560))]
    random.Random(0).shuffle(names)
    return [f"<http://dbpedia.org/ontology/{name}>" for name in names]
