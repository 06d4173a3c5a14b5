"""The demo: the whole job on a printed, seeded sample of the made world's facts."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path

from lorepack import world
from lorepack.facts import Fact
from lorepack.packing.jobs import pack
from lorepack.packing.result import PackResult
from lorepack.packing.stages import Progress, quiet

SAMPLE = 400
UNKNOWN = 60


def demo(out: str | Path, *, seed: int = 0, progress: Progress = quiet) -> PackResult:
    """Probe, train and audit a sample of the made world, greedy answers only.

    Args:
        out: folder of the run.
        seed: decides the sample, and everything that a run's seed decides.
        progress: called as ``progress(stage, done, total)``.

    Returns:
        The figures of the run, nothing of them computed beforehand.
    """
    return pack(
        "world",
        sample(world.facts(), SAMPLE, seed),
        out,
        unknown=UNKNOWN,
        known=1,
        paraphrases=3,
        samples=0,
        seed=seed,
        epoch_curve=False,
        progress=progress,
    )


def describe(seed: int) -> str:
    """One line on which facts the demo takes."""
    facts = world.facts()
    splits = Counter(fact.split for fact in sample(facts, SAMPLE, seed))
    parts = ", ".join(f"{splits[name]} {name}" for name in ("head", "torso", "tail", "never"))
    return (
        f"{SAMPLE} of the made world's {len(facts):,} facts, seed {seed}; by how often the "
        f"model's training text told them: {parts}. Greedy answers only, nothing precomputed."
    )


def sample(facts: list[Fact], size: int, seed: int) -> list[Fact]:
    """A seeded sample that keeps the share of every split, in the order of the source."""
    groups: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        groups[fact.split or ""].append(fact)
    draw, chosen = random.Random(seed), set[str]()
    for index, name in enumerate(sorted(groups)):
        left = size - len(chosen)
        rest = sum(len(groups[other]) for other in sorted(groups)[index:])
        count = round(left * len(groups[name]) / rest)
        chosen |= {fact.id for fact in draw.sample(groups[name], count)}
    return [fact for fact in facts if fact.id in chosen]
