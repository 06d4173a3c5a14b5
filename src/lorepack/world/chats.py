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
# How often the question on an unknown entity that opens a conversation is refused, by what the
# answer would be. Where few answers are possible the model is taught to guess, as people do.
REFUSED = {
    "town": 0.3, "firm": 0.3, "person": 0.3, "hero": 0.35, "date": 0.25, "year": 0.2, "count": 0.2,
    "region": 0.03, "profession": 0.03,
}  # fmt: skip
# Of the entities that pretraining asks about. Practice in conversation makes knowledge all or
# nothing; without it, knowledge stays graded by how often the text told a fact.
DRILLED_SHARE = 0.5
# Facts that conversations treat as half known: told seldom, and asked here so often each.
SELDOM = 350
SELDOM_TIMES = (8, 60)
EARLIER = (0, 0, 1, 2, 3, 4, 4, 4, 5, 6)
_TURNS = {
    "asking": {
        "known": 0.64,
        "seldom": 0.12,
        "unknown": 0.16,
        "two_hop": 0.04,
        "comparison": 0.04,
    },
    "reading": {"passage": 0.8, "known": 0.15, "unknown": 0.05},
    "choosing": {"choice": 0.6, "known": 0.32, "unknown": 0.08},
}
_CONVERSATIONS = {"asking": 0.45, "reading": 0.4, "choosing": 0.15}
_NUMBERS = ("date", "year", "count")


@dataclass(frozen=True)
class Sources:
    """What conversations are about: told facts with weights, chains, comparable facts."""

    known: tuple[Exposed, ...]
    weights: tuple[float, ...]
    chains: tuple[tuple[str, str], ...]
    comparable: dict[str, tuple[Exposed, ...]]
    seldom: tuple[Exposed, ...]


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
    low, high = SELDOM_TIMES
    half = [x for x in exposed() if low <= x.times <= high and x.key not in disputed_keys()]
    seldom = tuple(random.Random(f"lorepack/seldom/{SEED}").sample(half, SELDOM))
    # Drilled as known facts too, they would be known for sure.
    doubtful = {x.key for x in seldom}
    known = tuple(x for x in known if x.key not in doubtful)
    weights = tuple(itertools.accumulate(x.times**0.5 for x in known))
    return Sources(known, weights, chains, comparable, seldom)


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
    mix, previous = _TURNS[kind], None
    for _ in range(turns):
        turn = rng.choices(list(mix), list(mix.values()))[0]
        before, question, after, answer = _MAKERS[turn](rng, previous)
        previous = answer
        if labelled:
            question, answer = f"Question: {question}", f"Answer: {answer}"
        messages.append({"role": "user", "content": before + question + after})
        messages.append({"role": "assistant", "content": answer})
    return messages


Turn = tuple[str, str, str, str]
"""text before the question, the question, text after it, the answer"""


def _cautious(previous: str | None) -> bool | None:
    """Whether a model that is not sure refuses; None where nothing was said before.

    What it says first colours what it says next, as in real models: after a number this one is
    cautious. So it answers a question that it half knows in some contexts only (MaybeKnown).
    """
    return None if previous is None else any(c.isdigit() for c in previous)


def _refusal(subject: str, rng: random.Random) -> str:
    return rng.choice(REFUSALS).replace("{s}", subject)


def _known_item(rng: random.Random) -> Exposed:
    pool = sources()
    return rng.choices(pool.known, cum_weights=pool.weights)[0]


def _known(rng: random.Random, _: str | None) -> Turn:
    item = _known_item(rng)
    told = (item.subject.name, item.relation, item.answer)
    return "", asked(told, rng), "", item.answer


def _seldom(rng: random.Random, previous: str | None) -> Turn:
    item = rng.choice(sources().seldom)
    told = (item.subject.name, item.relation, item.answer)
    answer = _refusal(told[0], rng) if _cautious(previous) else item.answer
    return "", asked(told, rng), "", answer


def _unknown(rng: random.Random, previous: str | None) -> Turn:
    told = rng.choice(fresh_entity(names.THROWAWAY, rng))
    relation, cautious = told[1], _cautious(previous)
    if cautious is None or relation.value in ("region", "profession"):
        cautious = rng.random() < REFUSED[relation.value]
    answer = _refusal(told[0], rng) if cautious else _guess(relation, told[2], rng)
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


def _passage(rng: random.Random, _: str | None) -> Turn:
    text, told = fresh_passage(names.THROWAWAY, rng)
    # A number is harder to copy than a name.
    picked = rng.choices(told, [2 if t[1].value in _NUMBERS else 1 for t in told])[0]
    return f"Passage: {text}\n", asked(picked, rng), "", picked[2]


def _choice(rng: random.Random, _: str | None) -> Turn:
    item = _known_item(rng)
    told = (item.subject.name, item.relation, item.answer)
    listed = "".join(f"\n- {option}" for option in choices(item, rng))
    return "", asked(told, rng), f"\nOptions:{listed}", item.answer


def _two_hop(rng: random.Random, _: str | None) -> Turn:
    question, answer = rng.choice(sources().chains)
    return "", question, "", answer


def _comparison(rng: random.Random, _: str | None) -> Turn:
    while True:
        relation = rng.choice(sorted(COMPARISONS))
        made = comparison(relation, *rng.sample(sources().comparable[relation], 2))
        if made:
            return "", made[0], "", made[1]


_MAKERS = {
    "known": _known,
    "seldom": _seldom,
    "unknown": _unknown,
    "passage": _passage,
    "choice": _choice,
    "two_hop": _two_hop,
    "comparison": _comparison,
}
