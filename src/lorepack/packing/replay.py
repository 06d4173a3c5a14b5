"""What a job replays beside its data, and the texts that harm is measured on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorepack import files, world
from lorepack.errors import InputError, LorepackError
from lorepack.facts.passage import Passage
from lorepack.llm import LanguageModel
from lorepack.packing import material
from lorepack.packing.job import Source
from lorepack.packing.material import Material
from lorepack.packing.sources import NEUTRAL, REPLAYED, own_count
from lorepack.training import Example
from lorepack.training.own_text import own_text, running_text

OWN_TEXT = "own.json"
START, MORE = 8, 64
"""most tokens of a text that the base goes on from, and that it adds"""
GUARDED = slice(600, 700)
"""of the made world's neutral texts; what is replayed stands before them"""

Read = Callable[[Source], Material]


@dataclass(frozen=True)
class Beside:
    """Examples that are no part of a job's data."""

    examples: tuple[Example, ...] = ()
    texts: frozenset[str] = frozenset()
    described: dict[str, Any] | None = None
    """counts and hashes"""
    own: dict[str, Any] | None = None
    """what the base said, as it is kept"""


def replayed(
    lm: LanguageModel,
    sources: Sequence[Source],
    read: Read,
    limit: int,
    seed: int,
    folder: Path,
) -> Beside:
    """What a job replays.

    Args:
        lm: the base, no adapter switched on.
        sources: files of facts or texts, ``neutral``, ``own`` or ``own:N``.
        read: reads a source.
        limit: most tokens of a text; longer ones are cut in parts.
        seed: of the job; what the base says follows from it.
        folder: of the job; what the base said earlier is taken from there.

    Raises:
        InputError: a source that cannot be read, or a base that says nothing.
    """
    count = sum(own_count(source) or 0 for source in sources)
    given = [source for source in sources if not own_count(source)]
    try:
        found = _gathered(given, read, REPLAYED) if given or not count else Material()
        own = _own(lm, count, limit, seed, folder / OWN_TEXT) if count else None
    except LorepackError as error:
        raise type(error)(f"replay: {error}") from error
    examples = material.examples(lm, found, seed, limit)
    described = found.describe()
    if own is not None:
        rows = own["examples"]
        examples += [Example(tuple(ids), start, f"own-{n}") for n, (ids, start) in enumerate(rows)]
        described["own"] = {"count": count, "sha256": files.hash_of(rows)}
    return Beside(tuple(examples), frozenset(t.text for t in found.texts), described, own)


def guard(
    lm: LanguageModel, sources: Sequence[Source], read: Read, limit: int, seen: set[str]
) -> Beside:
    """The texts that harm is measured on.

    Args:
        lm: the base.
        sources: files of texts, or ``neutral``.
        read: reads a source.
        limit: most tokens of a text; longer ones are cut in parts.
        seen: texts that the job trains or replays.

    Raises:
        InputError: facts, or a text of ``seen``.
    """
    try:
        found = _gathered(sources, read, GUARDED)
    except LorepackError as error:
        raise type(error)(f"guard: {error}") from error
    if found.facts:
        raise InputError(
            f"guard: got {len(found.facts):,} facts; expected running text alone, or neutral"
        )
    both = next((text for text in found.texts if text.text in seen), None)
    if both is not None:
        raise InputError(
            f"guard: text {both.id} is trained or replayed by the job, too; harm shows on texts "
            "that are not: give others"
        )
    examples = material.examples(lm, found, 0, limit)
    return Beside(tuple(examples), described=found.describe())


def _gathered(sources: Sequence[Source], read: Read, neutral: slice) -> Material:
    def one(source: Source) -> Material:
        if source != NEUTRAL:
            return read(source)
        return Material(texts=tuple(Passage(t, source=NEUTRAL) for t in _neutral(neutral)))

    return material.gather(sources, one)


def _neutral(part: slice) -> list[str]:
    return world.neutral_text(part.stop)[part]


def _own(lm: LanguageModel, count: int, limit: int, seed: int, kept: Path) -> dict[str, Any]:
    """What the base goes on to say from the first words of neutral texts."""
    start = min(START, limit // 2)
    key = {"base": lm.fingerprint, "count": count, "limit": limit, "seed": seed}
    if kept.is_file() and (found := files.read_json(kept)).get("key") == key:
        return dict(found)
    starts = [one.ids for one in running_text(lm, _neutral(REPLAYED), start)]
    said = own_text(lm, starts, count, seed, max_new_tokens=min(MORE, limit - start))
    return {"schema": 1, "key": key, "examples": [[list(e.ids), e.answer_start] for e in said]}
