"""``recommended-mix``: what `lorepack pack` recommends against the published recipe.

For every fact seed, Unknown facts that no model has read of are trained by the ``paper`` recipe and
by candidates, all in one stack; every adapter is then asked for its facts and for a sample of the
world's own, which it was not trained on. The claim: on each seed the recommended mix is not less
reliable, and its negative spill-over and its KL on neutral text are at most half.

``paper`` is the preset as it is, in whose few steps a model this small learns nothing, so that it
harms nothing either; ``paper, trained`` is the same trained until it has (lr 1e-2, 150 steps), the
only fair peer. ``--choose`` compares the candidates for the default instead, on other seeds.

``--model DIR --asked 0`` is for a model that knows nothing of the world: reliability and KL alone,
no known facts in the mix.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lorepack import lora, probing, training, world
from lorepack.auditing.frontier import ask_each, drift_each
from lorepack.auditing.search import fallen, stack_of
from lorepack.auditing.strength import FINAL, Point, at_strength
from lorepack.facts import Fact
from lorepack.llm import LanguageModel, load
from lorepack.packing import compose
from lorepack.packing.demonstration import sample
from lorepack.packing.settings import REPLAY
from lorepack.packing.stages import examples_of
from lorepack.probing import ProbeResult, ProbeSettings
from lorepack.training import Example, Recipe
from lorepack.training.own_text import running_text

CHOSEN, JUDGED = (1, 2, 3), (11, 12, 13)
"""fact seeds that the default was chosen on, and those that played no part in it"""


@dataclass(frozen=True)
class Candidate:
    """A recipe with its mix."""

    recipe: str = "recommended"
    sets: Mapping[str, Any] = field(default_factory=dict)
    known: int = 0
    paraphrases: int = 0
    texts: int = 0
    """neutral texts that are replayed"""


PAPER, TRAINED = "paper", "paper, trained"
OLD, NEW = "recommended without replay", "recommended"
ALONE = "facts alone"
HEAVY = {**REPLAY, "replay_weight": "10"}
COMPARED = {
    PAPER: Candidate("paper"),
    TRAINED: Candidate("paper", {"lr": 1e-2, "min_steps": 150}),
    OLD: Candidate(known=1, paraphrases=3),
    NEW: Candidate(sets=REPLAY, known=1, paraphrases=3, texts=300),
    ALONE: Candidate(sets=REPLAY, texts=300),
}
"""``recommended`` as the demo mixes it; ``facts alone`` is it without known facts and paraphrases,
as a plain `lorepack pack` trains it, and as the ``paper`` mixes are"""
CANDIDATES = {
    OLD: COMPARED[OLD],
    NEW: COMPARED[NEW],
    "recommended, weight 10": Candidate(sets=HEAVY, known=1, paraphrases=3, texts=300),
    "recommended, 3 known": Candidate(sets=REPLAY, known=3, paraphrases=3, texts=300),
}
STRENGTHS = (0.5, 0.7, 1.0)
"""of every adapter but the paper's: its frontier"""


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
    new = list(world.new_facts(3 * options.facts, seed=seed))
    asked, beside = [], []
    if options.asked:
        own = world.facts()
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
    folder: Path,
    facts: int,
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
        unknown=facts,
        known=candidate.known if place.asked else 0,
        paraphrases=candidate.paraphrases,
        seed=place.seed,
        exclude_ids=left_out,
    )
    recipe = Recipe.named(candidate.recipe)
    recipe = recipe.override({key: str(value) for key, value in candidate.sets.items()})
    out = folder / f"{name.replace(',', '').replace(' ', '-')}-{place.seed}"
    made = training.Order(
        examples_of(lm, mix),
        recipe,
        out,
        out / "adapter",
        place.seed,
        replay=_replayed(lm, candidate),
    )
    return made, frozenset(mix.trained)


def _replayed(lm: LanguageModel, candidate: Candidate) -> list[Example]:
    """Neutral texts behind those that are measured on."""
    if not candidate.texts:
        return []
    return running_text(lm, world.neutral_text(300 + candidate.texts)[300:], length=96)


def measure(
    lm: LanguageModel,
    place: Field,
    orders: Mapping[str, tuple[training.Order, frozenset[str]]],
    texts: Sequence[str],
) -> dict[str, dict[str, float]]:
    """Reliability, negative spill-over and KL of the adapters of one seed, in one pass.

    All but the paper's are measured at every strength: ``recommended at 0.5``.
    """
    points: dict[str, tuple[lora.AdapterSpec, lora.Factors, frozenset[str]]] = {}
    for name, (one, trained) in orders.items():
        found = lora.load(one.adapter, lm.model, fingerprint=lm.fingerprint)
        for strength in STRENGTHS if name not in (PAPER, TRAINED) else (1.0,):
            shown = name if strength == 1 else f"{name} at {strength:g}"
            spec, factors = at_strength(found.spec, found.factors, Point(FINAL, strength), lm.model)
            points[shown] = spec, factors, trained
    stack = stack_of(lm, [(spec, factors) for spec, factors, _ in points.values()])
    ids = frozenset[str]().union(*(trained for _, trained in orders.values()))
    stored = [fact for fact in place.new if fact.id in ids]
    before, prompts = place.before, place.before.prompts
    known = [fact for fact in place.asked if before.tally.k_greedy[before.index[fact.id]]]
    with stack.attached(), stack.using(None):
        kept = ask_each(lm, stack, stored, prompts, before.settings)
        others = ask_each(lm, stack, known, prompts, before.settings) if known else []
        drifts = drift_each(lm, stack, texts)
    rows = {}
    for number, (name, (_, _, trained)) in enumerate(points.items()):
        own = [i for i, fact in enumerate(stored) if fact.id in trained]
        rows[name] = {"reliability": float(kept[number].correct[own].mean())}
        if known:
            fell, _ = fallen(before, known, others[number], len(place.asked))
            rows[name]["negative_spillover"] = fell
        rows[name]["neutral_kl"] = drifts[number].kl
    return rows


def compare(
    lm: LanguageModel,
    candidates: Mapping[str, Candidate],
    options: argparse.Namespace,
    folder: Path,
) -> dict[int, dict[str, dict[str, float]]]:
    """Figures by seed and candidate; those of a seed are printed as they come, on stderr."""
    texts, found = world.neutral_text()[: options.texts], {}
    for seed in options.seeds:
        place = prepare(lm, seed, options, folder)
        jobs = {
            name: order(lm, place, name, candidate, folder, options.facts)
            for name, candidate in candidates.items()
        }
        orders = [one for one, _ in jobs.values()]
        training.train_many(lm, orders, checkpoints=folder / f"checkpoints-{seed}", workers=1)
        found[seed] = measure(lm, place, jobs, texts)
        print(table({seed: found[seed]}), "\n", file=sys.stderr, flush=True)
    return found


def beats(ours: Mapping[str, float], peer: Mapping[str, float]) -> bool:
    """Not less reliable, at most half of each harm."""
    harms = [name for name in ours if name != "reliability"]
    return ours["reliability"] >= peer["reliability"] and all(
        2 * ours[name] <= peer[name] for name in harms
    )


def beats_on_frontier(rows: Mapping[str, Mapping[str, float]], ours: str, peer: str) -> bool:
    """Whether some strength of a mix beats a peer."""
    return any(
        beats(row, rows[peer]) for name, row in rows.items() if name.partition(" at ")[0] == ours
    )


def claims_of(found: Mapping[int, Mapping[str, Mapping[str, float]]]) -> dict[str, dict[int, bool]]:
    """By seed, whether the recommended mixes beat the paper's, whole and at some strength."""
    claims: dict[str, dict[int, bool]] = {}
    mixes = next(iter(found.values()))
    for ours in [name for name in (NEW, ALONE) if name in mixes]:
        for peer in [name for name in (PAPER, TRAINED) if name in mixes]:
            claims[f"{ours} beats {peer}"] = {s: beats(r[ours], r[peer]) for s, r in found.items()}
            claims[f"{ours} at some strength beats {peer}"] = {
                s: beats_on_frontier(rows, ours, peer) for s, rows in found.items()
            }
    return claims


def main() -> int:
    """Train, measure, print the table on stderr, then one JSON object."""
    parser = argparse.ArgumentParser("python -m benchmarks recommended-mix", description=__doc__)
    parser.add_argument("--model", default="world", help="or a folder")
    parser.add_argument("--choose", action="store_true", help="compare the default's candidates")
    parser.add_argument("--only", nargs="+", metavar="MIX", help="leave the others out")
    parser.add_argument("--seeds", nargs="+", type=int, help="of the facts")
    parser.add_argument("--facts", type=int, default=50, help="that an adapter stores")
    parser.add_argument("--asked", type=int, default=300, help="of the world's own facts")
    parser.add_argument("--prompts", type=int, default=2)
    parser.add_argument("--texts", type=int, default=40)
    parser.add_argument("--out", type=Path, help="kept when given; the same command goes on")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.seeds = options.seeds or list(CHOSEN if options.choose else JUDGED)
    mixes = CANDIDATES if options.choose else COMPARED
    mixes = {name: mixes[name] for name in options.only or mixes}
    start, lm = time.process_time(), load(options.model)
    with tempfile.TemporaryDirectory() as temporary:
        found = compare(lm, mixes, options, (options.out or Path(temporary)).resolve())
    print(table(found), file=sys.stderr)
    means = {name: _mean(found, name) for name in next(iter(found.values()))}
    ours, peer = (
        means[name]["neutral_kl"] if name in means else None
        for name in (NEW, OLD if options.choose else TRAINED)
    )
    claims = {} if options.choose else claims_of(found)
    print(
        json.dumps(
            {
                "name": "recommended-mix",
                "ours": ours,
                "peer": peer,
                "ratio": peer / ours if ours and peer else None,
                "unit": "nats a token",
                "claims": {name: all(seeds.values()) for name, seeds in claims.items()},
                "claims_by_seed": claims,
                "means": means,
                "seeds": found,
                "cpu_seconds": time.process_time() - start,
                "setup": {k: str(v) for k, v in vars(options).items()},
            }
        )
    )
    return 0


def table(found: Mapping[int, Mapping[str, Mapping[str, float]]]) -> str:
    """Markdown: of every candidate each seed's figures."""
    seeds = list(found)
    lines = ["| mix | " + " | ".join(f"seed {seed}" for seed in seeds) + " |"]
    lines.append("|---" * (len(seeds) + 1) + "|")
    for name in found[seeds[0]]:
        cells = [" / ".join(f"{value:.4f}" for value in found[s][name].values()) for s in seeds]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(["reliability / negative spill-over / KL, nats a token", "", *lines])


def _mean(found: Mapping[int, Mapping[str, Mapping[str, float]]], name: str) -> dict[str, float]:
    rows = [rows[name] for rows in found.values()]
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
