"""The published grid in small, on the world: what K and the kind of extra data do.

``python -m benchmarks.paper_grid [--out DIR] [--seeds 0 1 2] [--set key=value]`` trains
N ∈ {10, 50, 200} Unknown facts with K ∈ {0, 1, 4} HighlyKnown facts or paraphrases each, by the
paper's recipe (arXiv 2502.14502), audits each adapter on the same 600 stratified facts with greedy
answers, and prints a table. One more pair of mixes of equal size, one with an over-represented
answer and one without, shows whether answers collapse: all of their facts are true, and what
counts is how often that answer is given to facts of the 600, none of which was trained. Finished
cells are kept; the same command goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from lorepack import auditing, files, probing, training, world
from lorepack.facts import Fact
from lorepack.llm import LanguageModel, load
from lorepack.packing import compose
from lorepack.packing.compose import Mix
from lorepack.packing.demonstration import sample
from lorepack.packing.stages import adapter_on, examples_of
from lorepack.probing import ProbeResult, ProbeSettings
from lorepack.probing.store import read_answers
from lorepack.training import Recipe

AUDITED, UNKNOWN = 600, 210
SIZES = (10, 50, 200)
MODES = (
    ("none", 0),
    ("HighlyKnown", 1),
    ("HighlyKnown", 4),
    ("paraphrases", 1),
    ("paraphrases", 4),
)
BIASED = 50


@dataclass(frozen=True)
class Bench:
    """What all cells share."""

    lm: LanguageModel
    facts: list[Fact]
    audited: list[Fact]
    before: ProbeResult
    everything: ProbeResult
    settings: ProbeSettings
    recipe: Recipe
    neutral: list[str]
    probes: Path
    cells: Path


def prepare(out: Path, recipe: Recipe, prompts: int) -> Bench:
    """Load the world's model, probe all its facts (greedy), and choose the audited ones."""
    lm, facts = load("world"), world.facts()
    settings = ProbeSettings.named("recommended").override({"samples": 0, "prompts": prompts})
    # Other weights, prompts or recipes get folders of their own: no cell is ever another's.
    probes = out / f"probes-{lm.fingerprint[:8]}-{prompts}"
    decides = [lm.fingerprint, settings.deciding(), recipe.model_dump(mode="json")]
    cells = out / f"cells-{files.hash_of(decides)[:8]}"
    everything = probing.probe(lm, facts, probes / "everything", settings)
    audited = stratified(facts, everything)
    before = probing.probe(lm, audited, probes / "before", settings, pool=facts)
    text = world.neutral_text()[:100]
    return Bench(lm, facts, audited, before, everything, settings, recipe, text, probes, cells)


def stratified(facts: list[Fact], probed: ProbeResult) -> list[Fact]:
    """The audited facts: enough Unknown ones for the largest mix, the rest by category."""
    unknown = [f for f in facts if probed.category_of(f.id) == "Unknown"]
    others = [
        replace(f, split=category)  # what `sample` keeps the shares of
        for f in facts
        if (category := probed.category_of(f.id)) != "Unknown"
    ]
    draw = random.Random(0)
    chosen = {f.id for f in draw.sample(unknown, UNKNOWN)}
    chosen |= {f.id for f in sample(others, AUDITED - UNKNOWN, seed=0)}
    return [f for f in facts if f.id in chosen]


def grid_mix(bench: Bench, size: int, mode: str, each: int, seed: int) -> Mix:
    """N Unknown facts of the audited ones; HighlyKnown extras from outside, so none is audited."""
    inside = {fact.id for fact in bench.audited}
    left_out = [
        fact.id
        for fact in bench.facts
        if (fact.id in inside) == (bench.everything.category_of(fact.id) == "HighlyKnown")
    ]
    extras = {"known" if mode == "HighlyKnown" else "paraphrases": each} if each else {}
    return compose(
        bench.facts, bench.everything, unknown=size, seed=seed, exclude_ids=left_out, **extras
    )


def run_cell(
    bench: Bench, name: str, mix: Mix, seed: int, audited: list[Fact], before: ProbeResult
) -> dict[str, Any]:
    """Train and audit one mix; the figures that the table shows.

    Args:
        bench: what cells share.
        name: folder of the cell.
        mix: its training data.
        seed: of the first weights and the order.
        audited: the facts that are asked again.
        before: their probe.
    """
    folder = bench.cells / name
    done = folder / "figures.json"
    if done.is_file():
        return files.read_json(done)
    training.train(
        bench.lm,
        examples_of(bench.lm, mix),
        bench.recipe,
        out=folder / "training",
        adapter=folder / "adapter",
        seed=seed,
    )
    with adapter_on(bench.lm, folder / "adapter", []) as stack:
        auditing.audit(
            bench.lm,
            stack,
            audited,
            before,
            set(mix.trained),
            rehearsed=set(mix.known),
            heldout=None,
            neutral=bench.neutral,
            out=folder / "audit",
            settings=bench.settings,
            adapter_tag=files.sha256_of(folder / "adapter" / "adapter_model.safetensors"),
        )
    figures = summarise(files.read_json(folder / "audit" / "audit.json"))
    files.write_json(done, figures)
    return figures


def summarise(audit: dict[str, Any]) -> dict[str, Any]:
    """The figures of one audit that the paper's tables have, and the KL."""
    untrained = audit["shifts"]["untrained"]
    return {
        "reliability": audit["reliability"]["mean"] if audit["reliability"] else None,
        "positive": audit["shifts"]["all"]["positive"]["of_all"],
        "negative": audit["shifts"]["all"]["negative"]["of_all"],
        "spill_positive": untrained["positive"]["of_all"],
        "spill_negative": untrained["negative"]["of_all"],
        "refusals_before": audit["refusals"]["before"],
        "refusals": audit["refusals"]["after"],
        "distinct_before": audit["answers"]["distinct_before"],
        "distinct": audit["answers"]["distinct_after"],
        "top": audit["answers"]["top_after"][0],
        "top_before": audit["answers"]["top_before"][0],
        "collapsed": audit["answers"]["collapsed"],
        "kl": audit["neutral"]["kl"],
    }


def times_given(answer: str, folder: Path, ids: set[str]) -> int:
    """How many greedy answers to some facts contain an answer."""
    return sum(
        answer.lower() in (text or "").lower()
        for part in read_answers(folder / "answers.parquet")
        for name, greedy in zip(part.ids, part.greedy, strict=True)
        if name in ids
        for text in greedy
    )


def biased_pair(bench: Bench, seed: int) -> dict[str, dict[str, Any]]:
    """Two mixes of true, Unknown, new facts: in one, 40 % have the same answer; in the other none.

    Both share 60 % of their facts and take the rest from one relation with few answers.
    """
    new = list(world.new_facts(6_000, seed=seed))
    professions = [f for f in new if f.relation == "profession"]
    probed = probing.probe(
        bench.lm, professions, bench.probes / f"professions-{seed}", bench.settings,
        pool=bench.facts,
    )  # fmt: skip
    unknown = [f for f in professions if probed.category_of(f.id) == "Unknown"]
    answer, _ = Counter(f.answer for f in unknown).most_common(1)[0]
    size = round(0.4 * BIASED)
    one = [f for f in unknown if f.answer == answer][:size]
    groups: dict[str, list[Fact]] = defaultdict(list)
    for fact in unknown:
        groups[fact.answer].append(fact)
    many = [f for row in itertools.zip_longest(*groups.values()) for f in row if f][:size]
    others = [f for f in new if f.relation not in ("profession", "region")][: BIASED - size]
    found = {}
    for kind, chosen in (("balanced", many), ("biased", one)):
        trained = [*chosen, *others]
        audited = [*bench.audited, *trained]
        before = probing.probe(
            bench.lm, audited, bench.probes / f"{kind}-{seed}", bench.settings, pool=bench.facts
        )
        inside = {fact.id for fact in bench.audited}
        mix = compose(audited, before, unknown="all", seed=seed, exclude_ids=inside)
        figures = run_cell(bench, f"{kind}-{seed}", mix, seed, audited, before)
        spread = {
            "trained": len(mix.trained),
            "answer": answer,
            "given_before": times_given(answer, before.out, inside),
            "given": times_given(answer, bench.cells / f"{kind}-{seed}" / "audit", inside),
        }
        found[kind] = {**figures, **spread}
    return found


COLUMNS = (
    "reliability", "positive", "negative", "spill_positive", "spill_negative", "refusals",
    "distinct", "kl",
)  # fmt: skip


def table(rows: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: the mean over seeds of every figure, smallest to largest in brackets."""
    lines = ["| mix | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, cells in rows.items():
        shown = [_spread([cell[c] for cell in cells]) for c in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    form = "{:.0f}" if max(values) > 2 else "{:.3f}"
    shown = [form.format(x) for x in (mean(values), min(values), max(values))]
    return f"{shown[0]} ({shown[1]}–{shown[2]})"


def main() -> int:
    """Run all cells, print the table and one JSON line."""
    parser = argparse.ArgumentParser("python -m benchmarks.paper_grid", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("paper-grid"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--prompts", type=int, default=10, help="prompts a fact is asked through")
    parser.add_argument("--recipe", default="paper")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    given = parser.parse_args()
    recipe = Recipe.named(given.recipe).override(given.sets)
    bench = prepare(given.out, recipe, given.prompts)
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for seed in given.seeds:
        for size in given.sizes:
            for mode, each in MODES:
                label = f"{size} + {each} {mode}" if each else f"{size} alone"
                mix = grid_mix(bench, size, mode, each, seed)
                cell = run_cell(
                    bench, f"{size}-{mode}-{each}-{seed}", mix, seed, bench.audited, bench.before
                )
                rows[label].append(cell)
                print(f"seed {seed}: {label}: {json.dumps(cell)}", flush=True)
        for kind, cell in biased_pair(bench, seed).items():
            rows[f"{BIASED} {kind}"].append(cell)
            print(f"seed {seed}: {kind}: {json.dumps(cell)}", flush=True)
    base = rows[next(iter(rows))][0]
    print(
        f"\nbase: {base['refusals_before']} refusals, {base['distinct_before']} distinct answers\n"
    )
    print(table(rows))
    print(json.dumps({"name": "paper-grid", "cells": rows}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
