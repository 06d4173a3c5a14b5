"""Facts that are one fact, and facts that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lorepack.facts.fact import Fact
from lorepack.facts.looking.fingerprints import form_of

_OPTIONAL = ("subject", "relation", "object", "domain", "popularity", "source", "split")


@dataclass(frozen=True)
class Placed:
    """A fact and where it stands."""

    row: int
    """counted over all files"""
    file: str
    line: int
    fact: Fact

    @property
    def place(self) -> str:
        """``file:line``."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Cluster:
    """Facts that are one fact, in the order of their files."""

    members: tuple[Placed, ...]

    @property
    def claims(self) -> set[tuple[str, str]]:
        """What no other fact may hold: its questions in normal form, and its ids."""
        claims = {("question", form_of(one.fact.question)) for one in self.members}
        return claims | {("id", one.fact.id) for one in self.members}

    def united(self) -> Fact:
        """The first fact with the other answers as aliases and the other wordings as paraphrases.

        Whatever else it does not say comes from the first of the others that does.
        """
        facts = [one.fact for one in self.members]
        first = facts[0]
        if all(fact == first for fact in facts):
            return first
        answers = (text for fact in facts[1:] for text in fact.accepted)
        wordings = (text for fact in facts[1:] for text in (fact.question, *fact.paraphrases))
        more: dict[str, Any] = {
            name: next((v for f in facts if (v := getattr(f, name)) is not None), None)
            for name in _OPTIONAL
        }
        return replace(
            first,
            aliases=_joined(first.answer, first.aliases, answers),
            paraphrases=_joined(first.question, first.paraphrases, wordings),
            **more,
        )


def _joined(main: str, held: tuple[str, ...], more: Iterator[str]) -> tuple[str, ...]:
    """What is held, and what is new among more: in other words than the main text."""
    form = form_of(main)
    new = dict.fromkeys(text for text in more if text not in held and form_of(text) != form)
    return (*held, *new)


def clusters(group: Sequence[Placed]) -> list[Cluster]:
    """Facts of one group put together where they are one fact, in the order of the first members.

    Two are one fact when they share the question and an accepted answer, or the id and the
    answer, all in normal form; so are all that are linked through others.
    """
    if len({(one.fact.question, one.fact.answer, one.fact.id) for one in group}) == 1:
        return [Cluster(tuple(group))]
    owner: dict[tuple[str, str, str], int] = {}
    parents = list(range(len(group)))

    def root(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    for number, one in enumerate(group):
        for key in _identities(one.fact):
            other, mine = root(owner.setdefault(key, number)), root(number)
            parents[max(other, mine)] = min(other, mine)
    members: dict[int, list[Placed]] = {}
    for number, one in enumerate(group):
        members.setdefault(root(number), []).append(one)
    return [Cluster(tuple(found)) for _, found in sorted(members.items())]


def _identities(fact: Fact) -> Iterator[tuple[str, str, str]]:
    question = form_of(fact.question)
    for text in fact.accepted:
        yield "question", question, form_of(text)
    yield "id", fact.id, form_of(fact.answer)


@dataclass(frozen=True)
class Conflict:
    """Two facts that hold the same question, or the same id, with different answers."""

    kind: str
    """``question`` or ``id``"""
    one: Placed
    """the earlier one"""
    other: Placed
    kept: str
    """``one``, ``other`` or ``none``"""


def resolved(
    found: Sequence[Cluster], prefer: str, report: Callable[[Conflict], None]
) -> list[Cluster]:
    """The clusters that are kept, in their order.

    Args:
        found: the clusters of a group.
        prefer: ``first`` keeps the one whose first fact comes first, ``last`` the one whose last
            fact comes last, ``none`` none of those that contradict each other.
        report: called for every cluster that is given up, with one that it contradicts.
    """
    if len(found) == 1:
        return list(found)
    if prefer == "last":
        order = sorted(found, key=lambda cluster: -cluster.members[-1].row)
    else:
        order = sorted(found, key=lambda cluster: cluster.members[0].row)
    holders: dict[tuple[str, str], Cluster] = {}
    lost: set[int] = set()
    for cluster in order:
        claims = sorted(cluster.claims, reverse=True)  # questions before ids
        held = next((claim for claim in claims if claim in holders), None)
        if held is not None:
            lost.add(id(cluster))
            if prefer == "none":
                lost.add(id(holders[held]))
            report(_conflict(held[0], holders[held], cluster, prefer))
        if held is None or prefer == "none":
            for claim in claims:
                holders.setdefault(claim, cluster)
    return [cluster for cluster in found if id(cluster) not in lost]


def _conflict(kind: str, holder: Cluster, loser: Cluster, prefer: str) -> Conflict:
    winning, losing = holder.members[0], loser.members[0]
    kept = "none" if prefer == "none" else "one" if winning.row < losing.row else "other"
    one, other = sorted((winning, losing), key=lambda placed: placed.row)
    return Conflict(kind, one, other, kept)
