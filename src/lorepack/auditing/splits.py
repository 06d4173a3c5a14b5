"""Two parts of everything that harm is measured on: one to choose by, one to judge by."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from lorepack import files
from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.probing import CATEGORIES, ProbeResult
from lorepack.probing.store import write_table

DIGEST = 16
"""characters of a hash; a million facts have one each in memory"""
_SCHEMA = pa.schema([("id", pa.string()), ("part", pa.string()), ("asked", pa.bool_())])


@dataclass(frozen=True)
class Part:
    """What one part measures on."""

    untrained: tuple[str, ...]
    """ids of facts that were in no mix, in the order of the facts"""
    prompts: tuple[int, ...]
    """places of the prompts that trained facts are asked through"""
    texts: tuple[int, ...]
    """places of the neutral texts"""


@dataclass(frozen=True)
class Split:
    """Development and test; every trained fact is in both, asked through other prompts."""

    development: Part
    test: Part
    asked: tuple[str, ...]
    """untrained facts of the development part that are asked at every point"""
    trained: tuple[str, ...]
    """trained facts that are asked at every point"""

    def to_json(self) -> dict[str, Any]:
        """Counts and hashes; `write` keeps the ids."""
        return {
            "facts": len(self.asked),
            "facts_in_all": len(self.development.untrained),
            "trained": len(self.trained),
            "prompts": list(self.development.prompts),
            "texts": list(self.development.texts),
            "test_facts": len(self.test.untrained),
            "test_prompts": list(self.test.prompts),
            "test_texts": list(self.test.texts),
            "hashes": {
                "development": files.hash_of(list(self.development.untrained)),
                "asked": files.hash_of(list(self.asked)),
                "test": files.hash_of(list(self.test.untrained)),
            },
        }

    def write(self, path: Path) -> None:
        """One row an untrained fact: ``id, part (development|test), asked``."""
        asked = set(self.asked)
        rows = [(name, "development", name in asked) for name in self.development.untrained]
        rows += [(name, "test", False) for name in self.test.untrained]
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
        write_table(path, pa.table(columns, schema=_SCHEMA))


def split(
    facts: Sequence[Fact],
    before: ProbeResult,
    trained: Collection[str],
    rehearsed: Collection[str],
    texts: Sequence[str],
    *,
    most: int,
    seed: int,
) -> Split:
    """Cut facts, prompts and texts in two by a hash of the seed and what they are.

    Untrained facts are halved within each category, so that both parts know as much before; half
    of the prompts and of the texts is development, too. The order of the facts decides nothing.

    Args:
        facts: all facts of an audit.
        before: their probe.
        trained: ids of the facts that the adapter stores.
        rehearsed: ids of the known facts of its mix.
        texts: neutral text.
        most: facts, untrained and trained, that are asked at every point of the frontier.
        seed: of the hashes.

    Raises:
        InputError: fewer than two untrained facts, no trained one.
    """
    trained, rehearsed = set(trained), set(rehearsed)
    rest = [fact.id for fact in facts if fact.id not in trained and fact.id not in rehearsed]
    own = [fact.id for fact in facts if fact.id in trained]
    if not own:
        raise InputError(
            "a budget weighs harm against reliability, but no trained fact is among the facts; "
            "give those that the adapter was trained on"
        )
    if len(rest) < 2:
        raise InputError(
            f"a budget needs facts that are not trained, to measure harm on: got {len(rest)}, "
            "expected at least 2"
        )
    place = _ranks(rest, {name: before.category_of(name) for name in rest}, seed)
    # Strictly below one half: of a category's single fact the test part is to know.
    first = {name for name in rest if place[name][0] < 0.5}
    if not first:
        first = {min(rest, key=place.__getitem__)}
    development = tuple(name for name in rest if name in first)
    asked = set(sorted(development, key=place.__getitem__)[:most])
    stored = set(sorted(own, key=lambda name: _digest(seed, name))[:most])
    prompts, halves = range(len(before.prompts)), text_halves(texts, seed)
    return Split(
        Part(development, tuple(prompts[::2]), halves[0]),
        Part(
            tuple(name for name in rest if name not in first),
            tuple(prompts[1::2]) or tuple(prompts),  # one prompt has to do for both
            halves[1],
        ),
        tuple(name for name in development if name in asked),
        tuple(name for name in own if name in stored),
    )


def _ranks(
    names: Sequence[str], categories: Mapping[str, str], seed: int
) -> dict[str, tuple[float, str]]:
    """The rank of every fact within its category, in 0..1, and its hash; any first share of this
    order has the categories in proportion."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[categories[name]].append(_digest(seed, name) + name)
    found = {}
    for category in CATEGORIES:
        members = sorted(groups.get(category, ()))
        for rank, member in enumerate(members):
            found[member[DIGEST:]] = (rank + 0.5) / len(members), member[:DIGEST]
    return found


def text_halves(texts: Sequence[str], seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Places of the texts of the development and of the test part; equal texts stay together.

    Args:
        texts: neutral text.
        seed: of the hashes that decide.
    """
    order = sorted(dict.fromkeys(texts), key=lambda text: _digest(seed, text))
    first = set(order[: len(order) // 2])
    places = range(len(texts))
    return (
        tuple(i for i in places if texts[i] in first),
        tuple(i for i in places if texts[i] not in first),
    )


def _digest(seed: int, text: str) -> str:
    whole = hashlib.sha256(f"{seed} {text}".encode(errors="surrogatepass")).hexdigest()
    return whole[:DIGEST]


def chosen_facts(facts: Sequence[Fact], ids: Collection[str]) -> Iterator[Fact]:
    """The facts of some ids, in the order of the facts."""
    wanted = frozenset(ids)
    return (fact for fact in facts if fact.id in wanted)
