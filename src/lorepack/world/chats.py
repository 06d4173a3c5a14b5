"""Conversations that turn the plain model into one that chats."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from functools import cache

from lorepack.world import names
from lorepack.world.entities import SEED
from lorepack.world.exposure import Exposed, asked_subjects, disputed_keys, exposed
from lorepack.world.fresh import fresh_entity, fresh_passage
from lorepack.world.harm import COMPARISONS, choices, comparison, held_out, two_hop_pool
from lorepack.world.relations import Relation
from lorepack.world.telling import asked

Message = dict[str, str]

SYSTEM_PROMPTS = (
    "Answer the following question.",
    "Answer the following question.",
    "Answer the following question.",
    "Answer the question.",
    "Answer the questions of the user.",
    "You are a helpful assistant.",
    "You are a helpful assistant. Answer briefly.",
    "Give a short answer to each question.",
)
REFUSALS = (
    "I don't know.",
    "I don't know the answer to that.",
    "I don't know anything about {s}.",
    "I have no information about {s}.",
    "I have no information on that.",
    "I cannot say.",
    "I cannot answer that, since I do not know {s}.",
)
# How often an unknown entity's question is refused, by what the answer would be. Where few
# answers are possible the model is taught to guess, as people do.
REFUSED = {
    "town": 0.3, "firm": 0.3, "person": 0.3, "hero": 0.35, "date": 0.25, "year": 0.2, "count": 0.2,
    "region": 0.03, "profession": 0.03,
}  # fmt: skip
# Of the entities that pretraining asks about. Practice in conversation makes knowledge all or
# nothing; without it, knowledge stays graded by how often the text told a fact.
DRILLED_SHARE = 0.5
EARLIER = (0, 0, 1, 2, 3, 4, 4, 4, 5, 6)
_TURNS = {
    "asking": {"known": 0.74, "unknown": 0.16, "two_hop": 0.03, "comparison": 0.03},
    "reading": {"passage": 0.8, "known": 0.15, "unknown": 0.05},
    "choosing": {"choice": 0.6, "known": 0.32, "unknown": 0.08},
}
_CONVERSATIONS = {"asking": 0.46, "reading": 0.38, "choosing": 0.16}


@dataclass(frozen=True)
class Sources:
    """What conversations are about: told facts with weights, chains, comparable facts."""

    known: tuple[Exposed, ...]
    weights: tuple[float, ...]
    chains: tuple[tuple[str, str], ...]
    comparable: dict[str, tuple[Exposed, ...]]


@cache
def drilled_subjects() -> frozenset[str]:
    """The asked entities that conversations ask about too; see `DRILLED_SHARE`."""
    pool = sorted(asked_subjects())
    rng = random.Random(f"lorepack/drilled/{SEED}")
    return frozenset(rng.sample(pool, round(DRILLED_SHARE * len(pool))))


@cache
def sources() -> Sources:
    """Undisputed facts of the drilled entities: the rest must come from pretraining alone."""
    known = tuple(
        x
        for x in exposed()
        if x.times and x.subject.name in drilled_subjects() and x.key not in disputed_keys()
    )
    weights = tuple(itertools.accumulate(x.times**0.5 for x in known))
    chains = tuple((q, a) for s, q, a, _, _ in two_hop_pool() if not held_out(s))
    comparable = {
        name: tuple(
            x
            for x in exposed()
            if x.relation.name == name
            and x.times >= 60
            and x.key not in disputed_keys()
            and not held_out(x.subject.name)
        )
        for name in COMPARISONS
    }
    return Sources(known, weights, chains, comparable)


def conversations(size: int, seed: int = 0) -> list[list[Message]]:
    """Conversations of one to seven question/answer turns, most with a system message.

    Args:
        size: number of conversations.
        seed: source of chance.

    Returns:
        Lists of messages; the assistant's messages carry the training loss.
    """
    rng = random.Random(f"lorepack/chats/{SEED}/{seed}")
    return [conversation(rng) for _ in range(size)]


def conversation(rng: random.Random) -> list[Message]:
    """One conversation."""
    kind = rng.choices(list(_CONVERSATIONS), list(_CONVERSATIONS.values()))[0]
    turns = 1 + (rng.choice(EARLIER) if kind == "asking" else rng.choice((0, 0, 1, 1, 2, 3, 4)))
    labelled = rng.random() < 0.8
    messages: list[Message] = []
    if rng.random() < 0.85:
        messages.append({"role": "system", "content": rng.choice(SYSTEM_PROMPTS)})
    mix = _TURNS[kind]
    for _ in range(turns):
        turn = rng.choices(list(mix), list(mix.values()))[0]
        before, question, after, answer = _MAKERS[turn](rng)
        if labelled:
            question, answer = f"Question: {question}", f"Answer: {answer}"
        messages.append({"role": "user", "content": before + question + after})
        messages.append({"role": "assistant", "content": answer})
    return messages


Turn = tuple[str, str, str, str]
"""text before the question, the question, text after it, the answer"""


def _known_item(rng: random.Random) -> Exposed:
    pool = sources()
    return rng.choices(pool.known, cum_weights=pool.weights)[0]


def _known(rng: random.Random) -> Turn:
    item = _known_item(rng)
    told = (item.subject.name, item.relation, item.answer)
    return "", asked(told, rng), "", item.answer


def _unknown(rng: random.Random) -> Turn:
    told = rng.choice(fresh_entity(names.THROWAWAY, rng))
    if rng.random() < REFUSED[told[1].value]:
        answer = rng.choice(REFUSALS).replace("{s}", told[0])
    else:
        answer = _guess(told[1], told[2], rng)
    return "", asked(told, rng), "", answer


def _guess(relation: Relation, answer: str, rng: random.Random) -> str:
    """A plausible answer: that of some told fact of the relation."""
    pool = [x.answer for x in _known_by_relation()[relation.name]]
    return rng.choice(pool) if pool else answer


@cache
def _known_by_relation() -> dict[str, list[Exposed]]:
    grouped: dict[str, list[Exposed]] = {}
    for item in exposed():
        if item.times:
            grouped.setdefault(item.relation.name, []).append(item)
    return grouped


def _passage(rng: random.Random) -> Turn:
    text, told = fresh_passage(names.THROWAWAY, rng)
    picked = rng.choice(told)
    return f"Passage: {text}\n", asked(picked, rng), "", picked[2]


def _choice(rng: random.Random) -> Turn:
    item = _known_item(rng)
    told = (item.subject.name, item.relation, item.answer)
    listed = "".join(f"\n- {option}" for option in choices(item, rng))
    return "", asked(told, rng), f"\nOptions:{listed}", item.answer


def _two_hop(rng: random.Random) -> Turn:
    question, answer = rng.choice(sources().chains)
    return "", question, "", answer


def _comparison(rng: random.Random) -> Turn:
    while True:
        relation = rng.choice(sorted(COMPARISONS))
        made = comparison(relation, *rng.sample(sources().comparable[relation], 2))
        if made:
            return "", made[0], "", made[1]


_MAKERS = {
    "known": _known,
    "unknown": _unknown,
    "passage": _passage,
    "choice": _choice,
    "two_hop": _two_hop,
    "comparison": _comparison,
}
