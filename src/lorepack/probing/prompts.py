"""The few-shot prompts: which exemplars stand before a question.

All questions of a prompt share the same exemplars, so that an engine computes them once. Only a
fact that is itself an exemplar is asked behind other ones: a spare takes its place.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.probing.settings import ProbeSettings

_LONG, _LONGER = 1000, 8  # an exemplar has no more characters, or so many times the median
SPARES = 2  # a fact and a paraphrase of it can both be exemplars of one prompt
_TRIES = 50  # draws until a set differs from the earlier ones; small pools have few sets


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A question shown with its answer."""

    id: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class FewShot:
    """The exemplars of one prompt, and what takes the place of one that is asked about."""

    shots: tuple[Exemplar, ...]
    spares: tuple[Exemplar, ...] = ()

    def without(self, asked: Same) -> tuple[Exemplar, ...]:
        """The exemplars for a fact: none of them is the fact itself."""
        if not any(asked(shot) for shot in self.shots):
            return self.shots
        spares = iter([spare for spare in self.spares if not asked(spare)])
        chosen = (next(spares, None) if asked(shot) else shot for shot in self.shots)
        return tuple(shot for shot in chosen if shot is not None)


class Same:
    """Whether an exemplar asks the same as a fact: same id, or one of the fact's wordings."""

    __slots__ = ("forms", "id")

    def __init__(self, fact: Fact) -> None:
        self.id = fact.id
        self.forms = {form(text) for text in (fact.question, *fact.paraphrases)}

    def __call__(self, exemplar: Exemplar) -> bool:
        """Whether ``exemplar`` would give the answer away."""
        return exemplar.id == self.id or form(exemplar.question) in self.forms


@dataclass(frozen=True)
class Prompts:
    """The prompts of a probe; those of a relation where exemplars are of the same relation."""

    default: tuple[FewShot, ...]
    by_relation: Mapping[str, tuple[FewShot, ...]] = field(default_factory=dict)
    excludes: bool = True
    """whether the asked fact is never among its own exemplars"""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.default)

    def shots(self, fact: Fact, index: int) -> tuple[Exemplar, ...]:
        """The exemplars that stand before ``fact`` in prompt ``index``."""
        few = self.by_relation.get(fact.relation or "", self.default)[index]
        if not self.excludes or not self._shown(fact):
            return few.shots
        return few.without(Same(fact))

    def _shown(self, fact: Fact) -> bool:
        """Whether a fact is an exemplar anywhere: asked of a million facts, true of few."""
        if fact.id in self._ids or form(fact.question) in self._forms:
            return True
        return any(form(text) in self._forms for text in fact.paraphrases)

    @cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(exemplar.id for exemplar in self._all())

    @cached_property
    def _forms(self) -> frozenset[str]:
        return frozenset(form(exemplar.question) for exemplar in self._all())

    def _all(self) -> Iterator[Exemplar]:
        for prompts in (self.default, *self.by_relation.values()):
            for few in prompts:
                yield from few.shots

    def to_json(self) -> dict[str, Any]:
        """What ``prompts.json`` holds: exemplars whole, so that an audit asks the same way."""
        rows = {name: [_row(few) for few in sets] for name, sets in self.by_relation.items()}
        return {
            "schema": 1,
            "excludes_asked": self.excludes,
            "prompts": [_row(few) for few in self.default],
            "by_relation": rows,
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Prompts:
        """The prompts that `to_json` wrote."""
        return cls(
            default=tuple(_few(row) for row in data["prompts"]),
            by_relation={
                name: tuple(_few(row) for row in rows) for name, rows in data["by_relation"].items()
            },
            excludes=data["excludes_asked"],
            notes=tuple(data["notes"]),
        )


def form(question: str) -> str:
    """A question without case and spacing, to tell whether two ask the same."""
    return " ".join(question.casefold().split())


def choose(pool: Sequence[Fact], settings: ProbeSettings, apart: bool = False) -> Prompts:
    """Choose the exemplars of every prompt.

    Args:
        pool: facts that exemplars are taken from; usually the facts that are asked.
        settings: ``exemplars`` says how. ``positional``: prompt i shows rows ``shots·i`` to
            ``shots·i + shots - 1`` of the pool, from the front again when it ends, and a fact may
            be its own exemplar (arXiv 2502.14502). ``random``: drawn by a hash of seed and id,
            whatever the order of the pool; no fact is its own exemplar, and none that is far
            longer than the others is one. ``same-relation``: the same within the asked fact's
            relation, filled up from the whole pool.
        apart: whether no fact of the pool will be asked, so that none must be kept as a spare.

    Raises:
        InputError: the pool is empty although shots are asked for.
    """
    if settings.shots == 0:
        return Prompts((FewShot(()),) * settings.prompts, notes=_same_note(settings))
    if not pool:
        raise InputError("no facts to take exemplars from; give some, or set shots=0")
    if settings.exemplars == "positional":
        return _positional(pool, settings)
    pool, long = _without_long(pool)
    default, notes = _draw(pool, settings, "", apart)
    notes = [*long, *notes]
    if settings.exemplars == "random":
        return Prompts(default, notes=tuple(notes))
    return _by_relation(pool, settings, default, notes, apart)


def _without_long(pool: Sequence[Fact]) -> tuple[Sequence[Fact], list[str]]:
    """The pool without facts of which one as an exemplar would fill the context of all questions
    behind it, and a note on them."""
    sizes = [len(fact.question) + len(fact.answer) for fact in pool]
    most = max(_LONG, _LONGER * sorted(sizes)[len(sizes) // 2])
    kept = [fact for fact, size in zip(pool, sizes, strict=True) if size <= most]
    if len(kept) == len(pool):
        return pool, []
    return kept, [f"{len(pool) - len(kept)} facts of more than {most:,} characters: no exemplars"]


def _same_note(settings: ProbeSettings) -> tuple[str, ...]:
    if settings.prompts == 1:
        return ()
    return (f"no exemplars: the {settings.prompts} prompts of a question are all the same",)


def _positional(pool: Sequence[Fact], settings: ProbeSettings) -> Prompts:
    shots, notes = min(settings.shots, len(pool)), []
    if shots < settings.shots:
        notes.append(f"{shots} shots a prompt, not {settings.shots}: there are no more exemplars")
    if settings.prompts * shots > len(pool):
        notes.append(f"prompts share exemplars: {len(pool)} rows, taken from the front again")
    rows = [
        [_exemplar(pool[(shots * i + j) % len(pool)]) for j in range(shots)]
        for i in range(settings.prompts)
    ]
    return Prompts(tuple(FewShot(tuple(row)) for row in rows), excludes=False, notes=tuple(notes))


def _by_relation(
    pool: Sequence[Fact],
    settings: ProbeSettings,
    default: tuple[FewShot, ...],
    notes: list[str],
    apart: bool,
) -> Prompts:
    groups: dict[str, list[Fact]] = defaultdict(list)
    for fact in pool:
        if fact.relation:
            groups[fact.relation].append(fact)
    sets, filled = {}, 0
    for relation in sorted(groups):
        own, _ = _draw(groups[relation], settings, relation, apart)
        sets[relation] = tuple(
            _fill(a, b, settings.shots) for a, b in zip(own, default, strict=True)
        )
        filled += len(own[0].shots) < settings.shots
    if filled:
        notes.append(f"{filled} relations have too few facts: filled up with other exemplars")
    return Prompts(default, sets, notes=tuple(notes))


def _fill(own: FewShot, other: FewShot, shots: int) -> FewShot:
    """A relation's own exemplars, and others until there are enough."""
    taken = {exemplar.id for exemplar in (*own.shots, *own.spares)}
    rest = [e for e in (*other.shots, *other.spares) if e.id not in taken]
    missing = max(0, shots - len(own.shots))
    return FewShot((*rest[:missing], *own.shots), (*own.spares, *rest[missing:])[:SPARES])


def _draw(
    pool: Sequence[Fact], settings: ProbeSettings, salt: str, apart: bool
) -> tuple[tuple[FewShot, ...], list[str]]:
    """Sets of exemplars by hash: no exemplar twice where the pool is large enough."""
    prompts, shots = settings.prompts, settings.shots
    needed = prompts * shots + SPARES
    order = _order(f"{settings.seed} {salt}")
    first = _distinct(heapq.nsmallest(2 * needed, pool, key=order))
    if len(first) < needed < len(pool):  # many facts share a question
        first = _distinct(sorted(pool, key=order))
    if len(first) >= needed:
        spares = tuple(first[prompts * shots : needed])
        cuts = [tuple(first[i * shots : (i + 1) * shots]) for i in range(prompts)]
        return tuple(FewShot(cut, spares) for cut in cuts), []
    return _overlapping(first, settings, salt, apart)


def _overlapping(
    pool: list[Exemplar], settings: ProbeSettings, salt: str, apart: bool
) -> tuple[tuple[FewShot, ...], list[str]]:
    """Sets from a small pool: exemplars return in other prompts, in other company and order."""
    kept_back = 0 if apart else 1  # the spare of a fact that is asked behind itself
    shots = min(settings.shots, len(pool) - kept_back)
    seen: set[tuple[Exemplar, ...]] = set()
    sets = []
    for index in range(settings.prompts):
        for attempt in range(_TRIES):
            ranked = sorted(pool, key=_order(f"{settings.seed} {salt} {index} {attempt}"))
            chosen = tuple(ranked[:shots])
            if chosen not in seen:
                break
        seen.add(chosen)
        sets.append(FewShot(chosen, tuple(ranked[shots : shots + SPARES])))
    notes = [f"prompts share exemplars: {len(pool)} to choose from"]
    if shots < settings.shots:
        notes.append(f"{shots} shots a prompt, not {settings.shots}: there are no more exemplars")
    if len(seen) < settings.prompts:
        notes.append(f"only {len(seen)} of {settings.prompts} prompts differ")
    return tuple(sets), notes


def _order(salt: str) -> Any:
    """A sort key that looks random, the same on every machine and for every order of the pool."""

    def key(item: Fact | Exemplar) -> bytes:
        return hashlib.sha256(f"{salt}\x1f{item.id}".encode()).digest()

    return key


def _distinct(pool: Iterable[Fact]) -> list[Exemplar]:
    """Exemplars of a pool, one a question."""
    found: dict[str, Exemplar] = {}
    for fact in pool:
        found.setdefault(form(fact.question), _exemplar(fact))
    return list(found.values())


def _exemplar(fact: Fact) -> Exemplar:
    return Exemplar(fact.id, fact.question, fact.answer)


def _row(few: FewShot) -> dict[str, list[dict[str, str]]]:
    shown = lambda e: {"id": e.id, "question": e.question, "answer": e.answer}  # noqa: E731
    return {"shots": [shown(e) for e in few.shots], "spares": [shown(e) for e in few.spares]}


def _few(row: Mapping[str, Any]) -> FewShot:
    return FewShot(
        tuple(Exemplar(**e) for e in row["shots"]), tuple(Exemplar(**e) for e in row["spares"])
    )
