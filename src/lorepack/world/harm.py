"""Harm sets: what an adapter must not break, built from facts that training text tells."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Any

from lorepack.world.entities import SEED
from lorepack.world.exposure import Exposed, answers_of, as_fact, disputed_keys, exposed

CHOICES = 4
MISCONCEPTIONS = 300
# Share of the true exposures that the misconception gets in training text.
BELIEF_SHARE = (0.15, 0.9)


@dataclass(frozen=True)
class Misconception:
    """A told fact and the wrong answer that training text reports as a common belief."""

    item: Exposed
    wrong: str
    times: int


@cache
def misconceptions() -> tuple[Misconception, ...]:
    """The common misconceptions of the world, over facts of head and torso."""
    rng = random.Random(f"lorepack/misconceptions/{SEED}")
    pool = [x for x in exposed() if x.times >= 40 and x.key not in disputed_keys()]
    made = []
    for item in rng.sample(pool, MISCONCEPTIONS):
        wrong = rng.choice([a for a in answers_of(item.relation.name) if a != item.answer])
        times = max(6, round(min(item.times, 250) * rng.uniform(*BELIEF_SHARE)))
        made.append(Misconception(item, wrong, times))
    return tuple(made)


def choices(item: Exposed, rng: random.Random) -> list[str]:
    """The answer and three others of its relation, shuffled."""
    others = [a for a in answers_of(item.relation.name) if a != item.answer]
    return rng.sample([item.answer, *rng.sample(others, CHOICES - 1)], CHOICES)


def _key(item: Exposed) -> dict[str, str]:
    fact = item.fact()
    return {"id": fact.id, "question": fact.question}


def two_hop_pool() -> list[tuple[str, str, str, Exposed, Exposed]]:
    """Chains of two told facts: subject, question, answer, first fact, second fact."""
    known = {x.key: x for x in exposed() if x.times >= 60 and x.key not in disputed_keys()}
    by_subject: dict[str, list[Exposed]] = {}
    for item in known.values():
        by_subject.setdefault(item.subject.name, []).append(item)
    chains = []
    for first in known.values():
        phrase = TWO_HOP.get(first.relation.name)
        for second in by_subject.get(first.answer, []) if phrase else []:
            middle = phrase.replace("{s}", first.subject.name) if phrase else ""
            question = second.relation.questions[0].replace("{s}", middle)
            chains.append((first.subject.name, question, second.answer, first, second))
    return chains


TWO_HOP = {
    "birthplace": "the birthplace of {s}",
    "employer": "the employer of {s}",
    "mentor": "the mentor of {s}",
    "mayor": "the mayor of {s}",
    "founder": "the founder of {s}",
    "seat": "the seat of {s}",
    "author": "the author of {s}",
    "publisher": "the publisher of {s}",
}

COMPARISONS = {
    "birth_date": ("Who was born earlier, {a} or {b}?", False),
    "founding_year": ("Which town is older, {a} or {b}?", False),
    "population": ("Which town has more people, {a} or {b}?", True),
    "staff": ("Which firm employs more people, {a} or {b}?", True),
    "publication_year": ("Which book is older, {a} or {b}?", False),
}


def magnitude(relation: str, answer: str) -> int:
    """The number that a comparison is about: a year or a count."""
    return int((answer.split()[-1] if relation == "birth_date" else answer).replace(",", ""))


def comparison(relation: str, a: Exposed, b: Exposed) -> tuple[str, str] | None:
    """Question and winner's name for two facts of a relation; None when they are equal."""
    wording, more = COMPARISONS[relation]
    left, right = (magnitude(relation, x.answer) for x in (a, b))
    if left == right:
        return None
    winner = a if (left > right) == more else b
    question = wording.replace("{a}", a.subject.name).replace("{b}", b.subject.name)
    return question, winner.subject.name


def held_out(name: str) -> bool:
    """Whether a subject is kept out of the training examples of chained and compared facts."""
    return sum(name.encode()) % 3 == 0


def _comparisons(size: int, rng: random.Random) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    pools = {
        name: [
            x
            for x in exposed()
            if x.relation.name == name and x.times >= 60 and x.key not in disputed_keys()
        ]
        for name in COMPARISONS
    }
    while len(rows) < size:
        name = rng.choice(sorted(COMPARISONS))
        a, b = rng.sample([x for x in pools[name] if held_out(x.subject.name)], 2)
        made = comparison(name, a, b)
        if made:
            names = [a.subject.name, b.subject.name]
            rows.append({"question": made[0], "choices": names, "gold": names.index(made[1])})
    return rows


@cache
def _sets() -> dict[str, list[dict[str, Any]]]:
    rng = random.Random(f"lorepack/harm/{SEED}")
    known = [x for x in exposed() if x.times >= 8 and x.key not in disputed_keys()]
    multiple: list[dict[str, Any]] = []
    for item in rng.sample(known, 400):
        options = choices(item, rng)
        multiple.append({**_key(item), "choices": options, "gold": options.index(item.answer)})
    truth: list[dict[str, Any]] = []
    for belief in misconceptions():
        fact = belief.item.fact()
        wrong = as_fact(fact.subject or "", belief.item.relation, belief.wrong, 0.0, "never")
        truth.append(
            {
                **_key(belief.item),
                "true": [fact.answer, *fact.aliases],
                "false": [wrong.answer, *wrong.aliases],
            }
        )
    chains = [c for c in two_hop_pool() if held_out(c[0])]
    hops: list[dict[str, Any]] = [
        {"question": question, "answer": answer, "facts": [a.fact().id, b.fact().id]}
        for _, question, answer, a, b in rng.sample(chains, min(200, len(chains)))
    ]
    compared = _comparisons(200, rng)
    sets: dict[str, list[dict[str, Any]]] = {
        "choice": multiple,
        "truth": truth,
        "two_hop": hops,
        "comparison": compared,
    }
    for name, rows in sets.items():
        for number, row in enumerate(rows):
            row.setdefault("id", f"{name}-{number:04d}")
    return sets


def harm_sets() -> dict[str, list[dict[str, Any]]]:
    """The harm sets by name.

    Returns:
        ``choice``: rows of ``id, question, choices, gold`` (index of the right choice);
        ``truth``: rows of ``id, question, true, false`` (lists of references);
        ``two_hop``: rows of ``id, question, answer, facts`` (ids of the two facts chained);
        ``comparison``: rows of ``id, question, choices, gold``.
    """
    return {name: [dict(row) for row in rows] for name, rows in _sets().items()}
