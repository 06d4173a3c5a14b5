"""One small run on the made world, shared by the tests that look at its files."""

from __future__ import annotations

from pathlib import Path

import pytest

import lorepack
from lorepack import facts as room
from lorepack import world

SETTINGS = {
    "unknown": 8,
    "paraphrases": 1,
    "samples": 0,
    "seed": 3,
    "sets": ["probe.prompts=2", "epochs=3"],
    "neutral": world.neutral_text()[:20],
}


@pytest.fixture(scope="session")
def fact_file(tmp_path_factory) -> Path:
    """Facts that no model has read of, and some that `world` was told often."""
    told = sorted(world.facts(), key=lambda fact: (-(fact.popularity or 0), fact.id))[:12]
    path = tmp_path_factory.mktemp("facts") / "facts.jsonl"
    room.write(path, [*world.new_facts(24, seed=1), *told])
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory, fact_file) -> tuple[Path, lorepack.PackResult]:
    """A finished run and its result; not to be changed."""
    run = tmp_path_factory.mktemp("runs") / "run"
    return run, lorepack.pack("world", fact_file, run, **SETTINGS)
