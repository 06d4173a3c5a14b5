"""Where passages come from: the made world by name, or a file."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from lorepack import world
from lorepack.facts import Fact
from lorepack.facts.passage import Passage
from lorepack.facts.passages_file import read_passages

WORLD = "world"
WORLD_SIZE = 100
"""passages of the made world, when no limit is said"""


def passages_of(
    source: str | Path, *, limit: int | None = None, seed: int = 0
) -> tuple[Iterable[Passage], list[Fact]]:
    """The passages of a source, and the facts that it is known to tell.

    Args:
        source: ``"world"`` for passages of the made world, or a file (JSONL).
        limit: how many passages of the world; files are read whole.
        seed: which passages of the world.

    Raises:
        NotFoundError: no such file.
        InputError: not a file of passages.
    """
    if source == WORLD:  # the name alone: Path("world") and "./world" are a file
        made = world.passages(limit or WORLD_SIZE, seed)
        texts = [Passage(one.text, source="lorepack world") for one in made]
        return texts, list(chain.from_iterable(one.facts for one in made))
    return read_passages(source), []
