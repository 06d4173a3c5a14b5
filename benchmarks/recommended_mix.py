"""``recommended-mix``: what `lorepack pack` recommends against the published recipe, on the world.

For every fact seed, Unknown facts that no model has read of are trained by the ``paper`` recipe and
by candidates, all in one stack; every adapter is then asked for its facts and for a sample of the
world's own, which it was not trained on. The claim: on each seed the recommended mix is not less
reliable, and its negative spill-over and its KL on neutral text are at most half.

``paper`` is the preset as it is, in whose few steps a model this small learns nothing;
``paper-learned`` is the same trained until it has (lr 1e-2, 150 steps), the only fair peer.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lorepack import lora, probing, training, world
from lorepack.auditing.frontier import ask_each, drift_each
from lorepack.facts import Fact
from lorepack.llm import ANSWER, QUESTION, LanguageModel
from lorepack.packing import compose
from lorepack.packing.demonstration import sample
from lorepack.packing.stages import examples_of
from lorepack.probing import ProbeResult, ProbeSettings
from lorepack.training import Example, Recipe
from lorepack.training.own_text import running_text

JUDGED = (11, 12, 13)
"""fact seeds that played no part in choosing the recommended mix; it was chosen on 1, 2 and 3"""


@dataclass(frozen=True)
class Candidate:
    """A recipe with its mix."""

    recipe: str = "recommended"
    sets: Mapping[str, Any] = field(default_factory=dict)
    known: int = 0
    paraphrases: int = 0
    texts: int = 0
    """neutral texts that are replayed"""
    facts: int = 0
    """known facts that are replayed, as questions with their answers"""


PAPER, LEARNED, RECOMMENDED = "paper", "paper-learned", "recommended"
CANDIDATES = {
    PAPER: Candidate("paper"),
    LEARNED: Candidate("paper", {"lr": 1e-2, "min_steps": 150}),
    RECOMMENDED: Candidate(known=1, paraphrases=3),
}


@dataclass(frozen=True)
class Field:
    """What all adapters of one fact seed are measured on."""

    seed: int
    facts: list[Fact]
    """new ones, those asked for spill-over, and known ones to train beside"""
    before: ProbeResult
    asked: list[Fact]
    """of the model's own facts: for spill-over"""
    new: list[Fact]


def prepare(lm: LanguageModel, seed: int, options: argparse.Namespace, folder: Path) -> Field:
    """Choose and probe the facts of one seed."""
    own, new = world.facts(), list(world.new_facts(3 * options.facts, seed=seed))
    asked = sample(own, options.asked, seed)
    inside = {fact.id for fact in asked}
    beside = sample([f for f in own if f.id not in inside], 2 * options.asked, seed)
    facts = [*new, *asked, *beside]
    settings = ProbeSettings().override({"samples": 0, "prompts": options.prompts, "seed": seed})
    before = probing.probe(lm, facts, folder / f"probe-{seed}", settings)
    return Field(seed, facts, before, asked, new)


def order(
    lm: LanguageModel,
    place: Field,
    name: str,
    candidate: Candidate,
    options: argparse.Namespace,
    folder: Path,
) -> tuple[training.Order, frozenset[str]]:
    """The training of one adapter, and the ids of the facts that it stores."""
    asked = {fact.id for fact in place.asked}
    new = {fact.id for fact in place.new}
    left_out = [
        fact.id
        for fact in place.facts
        if fact.id in asked
        or (fact.id not in new and place.before.category_of(fact.id) != "HighlyKnown")
    ]
    mix = compose(
        place.facts,
        place.before,
        unknown=options.facts,
        known=candidate.known,
        paraphrases=candidate.paraphrases,
        seed=place.seed,
        exclude_ids=left_out,
    )
    recipe = Recipe.named(candidate.recipe)
    recipe = recipe.override({key: str(value) for key, value in candidate.sets.items()})
    out = folder / f"{name}-{place.seed}"
    replayed = _replayed(lm, place, candidate, {*left_out, *mix.known, *new})
    made = training.Order(
        examples_of(lm, mix), recipe, out, out / "adapter", place.seed, replay=replayed
    )
    return made, frozenset(mix.trained)


def _replayed(
    lm: LanguageModel, place: Field, candidate: Candidate, taken: set[str]
) -> list[Example]:
    """Neutral texts behind those that are measured on, and known facts that are not asked."""
    found = []
    if candidate.texts:
        texts = world.neutral_text(300 + candidate.texts)[300:]
        found += running_text(lm, texts, length=96)
    free = [f for f in place.facts if f.id not in taken]
    for fact in free[: candidate.facts]:
        ids, start = lm.chat.example_ids(
            QUESTION.format(q=fact.question), ANSWER.format(a=fact.answer)
        )
        found.append(Example(tuple(ids), start, fact.id))
    return found


def measure(
    lm: LanguageModel,
    place: Field,
    orders: Sequence[tuple[training.Order, frozenset[str]]],
    texts: Sequence[str],
) -> list[dict[str, float]]:
    """Reliability, negative spill-over and KL of the adapters of one seed, in one pass."""
    loaded = [lora.load(one.adapter, lm.model, fingerprint=lm.fingerprint) for one, _ in orders]
    stack = lora.Stack(lm.model, [one.spec for one in loaded], [0] * len(loaded))
    for number, one in enumerate(loaded):
        stack.load_factors(number, one.factors)
    ids = frozenset[str]().union(*(trained for _, trained in orders))
    stored = [fact for fact in place.new if fact.id in ids]
    before, prompts = place.before, place.before.prompts
    with stack.attached():
        stack.use(None)
        kept = ask_each(lm, stack, stored, prompts, before.settings)
        others = ask_each(lm, stack, place.asked, prompts, before.settings)
        drifts = drift_each(lm, stack, texts)
    rows = np.array([before.index[fact.id] for fact in place.asked])
    was, asked = before.codes[rows], before.tally.n_greedy[rows]
    found = []
    for number, (_, trained) in enumerate(orders):
        own = [place for place, fact in enumerate(stored) if fact.id in trained]
        now = probing.label(others[number].correct.sum(1), asked, 0)
        found.append(
            {
                "reliability": float(kept[number].correct[own].mean()),
                "negative_spillover": float((now > was).mean()),
                "neutral_kl": drifts[number].kl,
            }
        )
    return found


def compare(
    lm: LanguageModel,
    candidates: Mapping[str, Candidate],
    options: argparse.Namespace,
    folder: Path,
) -> dict[str, dict[int, dict[str, float]]]:
    """Figures by candidate and seed."""
    places = [prepare(lm, seed, options, folder) for seed in options.seeds]
    jobs = {
        (name, place.seed): order(lm, place, name, candidate, options, folder)
        for place in places
        for name, candidate in candidates.items()
    }
    training.train_many(lm, [one for one, _ in jobs.values()], checkpoints=folder / "c", workers=1)
    texts = world.neutral_text()[: options.texts]
    found: dict[str, dict[int, dict[str, float]]] = {name: {} for name in candidates}
    for place in places:
        mine = [jobs[name, place.seed] for name in candidates]
        for name, row in zip(candidates, measure(lm, place, mine, texts), strict=True):
            found[name][place.seed] = row
    return found
