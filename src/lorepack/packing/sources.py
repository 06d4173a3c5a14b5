"""Where facts come from: the made world by name, or a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lorepack import facts as facts_room
from lorepack import world
from lorepack.errors import InputError
from lorepack.facts import Fact

NEUTRAL, OWN = "neutral", "own"
"""what can be replayed without a file: the made world's running text, what the base says itself"""
REPLAYED = slice(300, 600)
"""of the made world's neutral texts; an audit measures on those before them"""
OWN_COUNT = 64
"""examples of ``own`` where no number is given"""
WORLD = "world"


def load_facts(source: str | Path | Sequence[Fact], notes: list[str] | None = None) -> list[Fact]:
    """The facts of a source, all checked.

    Args:
        source: ``"world"`` for the made world's own facts, a file (JSONL, CSV, Parquet), or facts.
        notes: receives what was set aside or ignored; without it, each is a Python warning.

    Returns:
        The facts in the order of the source.

    Raises:
        NotFoundError: no such file.
        InputError: a broken row (named by file and line), no facts, or an id given twice.
    """
    if source == WORLD:  # the name alone: Path("world") and "./world" are a file
        return world.facts()
    if isinstance(source, str | Path):
        found: list[str] = []
        facts = facts_room.load(Path(source), found if notes is not None else None)
        if notes is not None:  # the file's name alone: equal facts give equal bytes in any folder
            notes += [note.replace(str(source), Path(source).name) for note in found]
        return facts
    return _distinct(source)


def _distinct(facts: Iterable[Fact]) -> list[Fact]:
    seen: dict[str, Fact] = {}
    for fact in facts:
        if fact.id in seen:
            raise InputError(f"fact {fact.id} given twice: {fact.question!r}; ids must differ")
        seen[fact.id] = fact
    if not seen:
        raise InputError("no facts given; at least one is needed")
    return list(seen.values())


def replayed_texts(given: Sequence[str] | None, measured: Sequence[str]) -> list[str]:
    """The texts that a run may replay, none of which it measures harm on.

    Args:
        given: by the user; None takes texts of the made world behind those that are measured on.
        measured: the run's neutral text.

    Raises:
        InputError: nothing is left to replay.
    """
    kept = set(measured)
    texts = world.neutral_text(REPLAYED.stop)[REPLAYED] if given is None else given
    left = [text for text in texts if text not in kept]
    if not left:
        raise InputError(
            f"replay: got {len(texts)} texts, of which none is apart from the neutral text; give "
            "others, or set replay_ratio=0"
        )
    return left


def own_count(source: object) -> int | None:
    """How many texts of its own the base is to say, by ``own`` or ``own:N``; None for a file.

    Raises:
        InputError: what stands behind the colon is no number of at least 1.
    """
    if not isinstance(source, str) or source.partition(":")[0] != OWN:
        return None
    number = source.partition(":")[2] if ":" in source else str(OWN_COUNT)
    if not (number.isdecimal() and int(number) > 0):
        raise InputError(f"replay: got {source!r}, expected own:N with a number of at least 1")
    return int(number)
