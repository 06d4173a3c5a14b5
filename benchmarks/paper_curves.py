"""The published curves whole, on the world: what an adapter learns and costs as facts are added.

``python -m benchmarks paper-curves [--out DIR] [--seeds 0 1 2] [--set key=value]`` trains
N ∈ {1, 10, 50, 100, 500} new facts alone, with 1 or 10 HighlyKnown facts each, or 1 or 10 other
wordings each (arXiv 2502.14502, sections 4 and 5), in one stack, and measures of every adapter:
reliability after each epoch, shifts among facts that no mix holds, KL on neutral text, and the
world's own benchmarks (multiple choice; MC1, MC2, BLEU and ROUGE of its truth set). The curves
against N stand with bands from the smallest to the largest seed in ``DIR/curves.html``. Cells that
the world cannot fill are named there. What is finished is kept; the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.paper_grid import summarise
from lorepack import auditing, files, lora, probing, reports, training, world
from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.llm import LanguageModel, load
from lorepack.packing import compose
from lorepack.packing.compose import Mix
from lorepack.packing.stages import adapter_on, examples_of
from lorepack.probing import ProbeResult, ProbeSettings
from lorepack.training import Recipe

SIZES = (1, 10, 50, 100, 500)
MODES = (("none", 0), ("known", 1), ("known", 10), ("paraphrases", 1), ("paraphrases", 10))
NEW, AUDITED, ASKED = 600, 500, 25
"""new facts to choose from; facts that shifts are counted on; trained facts asked every epoch"""
TOGETHER = 16
"""adapters in one pass of the benchmarks"""


@dataclass(frozen=True)
class Bench:
    """What all cells share."""

    lm: LanguageModel
    out: Path
    facts: list[Fact]
    new: list[Fact]
    audited: list[Fact]
    everything: ProbeResult
    settings: ProbeSettings
    recipe: Recipe


@dataclass(frozen=True)
class Cell:
    """One adapter of the grid."""

    size: int
    mode: str
    each: int
    seed: int
    mix: Mix

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.size}-{self.mode}-{self.each}-{self.seed}"


def prepare(out: Path, recipe: Recipe, prompts: int, model: str) -> Bench:
    """Probe the world's facts and the new ones, and choose the audited ones."""
    lm = load(model)
    new = list(world.new_facts(NEW, seed=101))
    facts = [*world.facts(), *new]
    settings = ProbeSettings.named("recommended").override({"samples": 0, "prompts": prompts})
    everything = probing.probe(lm, facts, out / "everything", settings)
    audited = random.Random(0).sample(list(world.facts()), AUDITED)
    return Bench(lm, out, facts, new, audited, everything, settings, recipe)


def cells_of(
    bench: Bench, sizes: Sequence[int], seeds: Sequence[int]
) -> tuple[list[Cell], list[dict[str, Any]]]:
    """The cells that can be filled, and those that cannot, with the reason."""
    inside, new = {f.id for f in bench.audited}, {f.id for f in bench.new}
    unfit = [
        fact.id
        for fact in bench.facts
        if fact.id in inside
        or (fact.id not in new and bench.everything.category_of(fact.id) == "Unknown")
    ]
    made, missing = [], []
    for size in sizes:
        for mode, each in MODES:
            extras = {mode: each} if each else {}
            try:
                for seed in seeds:
                    mix = compose(
                        bench.facts, bench.everything,
                        unknown=size, seed=seed, exclude_ids=unfit, **extras,
                    )  # fmt: skip
                    made.append(Cell(size, mode, each, seed, mix))
            except InputError as error:
                missing.append({"unknown": size, "mode": mode, "each": each, "why": str(error)})
    return made, missing


def train(bench: Bench, cells: Sequence[Cell]) -> None:
    """All adapters in one stack; reliability after every epoch stands in each one's epochs.json."""
    orders = [
        training.Order(
            examples_of(bench.lm, cell.mix),
            bench.recipe,
            bench.out / cell.name / "training",
            bench.out / cell.name / "adapter",
            seed=cell.seed,
            on_epoch=_meter(bench, cell),
            name=cell.name,
        )
        for cell in cells
    ]
    for found in training.train_many(bench.lm, orders, checkpoints=bench.out / "checkpoint"):
        if isinstance(found, Exception):
            raise found


def _meter(bench: Bench, cell: Cell) -> Callable[..., float | None]:
    """Reliability of some trained facts, at ten epochs evenly apart and the last."""
    trained = set(cell.mix.trained)
    asked = [fact for fact in bench.facts if fact.id in trained][:ASKED]
    steps = -(-len(cell.mix.examples) // bench.recipe.batch_size)
    epochs = max(bench.recipe.epochs, -(-bench.recipe.min_steps // steps))
    each = max(1, epochs // 10)

    def measure(epoch: int, *_: object) -> float | None:
        if epoch % each and epoch != epochs:
            return None
        correct = probing.ask(bench.lm, asked, bench.settings, prompts=bench.everything.prompts)
        return float(correct.mean())

    return measure


def audit(bench: Bench, cell: Cell) -> dict[str, Any]:
    """Shifts of the audited facts, reliability of the trained ones, KL."""
    folder = bench.out / cell.name
    done = folder / "figures.json"
    if done.is_file():
        return files.read_json(done)
    trained = set(cell.mix.trained)
    asked = [*bench.audited, *(fact for fact in bench.facts if fact.id in trained)]
    with adapter_on(bench.lm, folder / "adapter", []) as stack:
        auditing.audit(
            bench.lm, stack, asked, bench.everything, trained,
            rehearsed=set(cell.mix.known),
            neutral=world.neutral_text()[:60],
            out=folder / "audit",
            settings=bench.settings,
            adapter_tag=files.sha256_of(folder / "adapter" / "adapter_model.safetensors"),
        )  # fmt: skip
    figures = summarise(files.read_json(folder / "audit" / "audit.json"))
    files.write_json(done, figures)
    return figures


def harm(bench: Bench, cells: Sequence[Cell], limit: int | None) -> dict[str, Any]:
    """The world's benchmarks by adapter, many in one pass: ``{name: {figure: value}}``."""
    from lorepack.auditing.harm import HarmSettings, measure

    found: dict[str, Any] = {}
    for start in range(0, len(cells), TOGETHER):
        part = cells[start : start + TOGETHER]
        loaded = [lora.load(bench.out / cell.name / "adapter", bench.lm.model) for cell in part]
        stack = lora.Stack(bench.lm.model, [one.spec for one in loaded], [0] * len(part))
        for index, one in enumerate(loaded):
            stack.load_factors(index, one.factors)
        told = measure(
            bench.lm,
            (stack, [cell.name for cell in part]),
            ["world"],
            bench.out / "harm" / f"{start:04d}-{files.hash_of([c.name for c in part])[:8]}",
            HarmSettings(limit=limit, shots=0),
        )
        for name, value in _values(told):
            found.setdefault(name[0], {})[name[1]] = value
    return found


def _values(told: dict[str, Any]) -> Iterator[tuple[tuple[str, str], float]]:
    """((adapter, task metric), value), the base's under the name ``base``."""
    for task, row in told["tasks"].items():
        for metric, values in row["metrics"].items():
            label = f"{task.removeprefix('world-')} {metric}"
            yield ("base", label), values["base"]["value"]
            for name, one in values["adapters"].items():
                yield (name, label), one["value"]


def gather(
    bench: Bench,
    cells: Sequence[Cell],
    missing: Sequence[dict[str, Any]],
    harmed: dict[str, Any],
) -> dict[str, Any]:
    """``curves.json``."""
    rows = []
    for cell in cells:
        epochs = files.read_json(bench.out / cell.name / "training" / "epochs.json")
        figures = audit(bench, cell)
        rows.append(
            {
                "unknown": cell.size, "mode": cell.mode, "each": cell.each, "seed": cell.seed,
                "epochs": [epoch["reliability"] for epoch in epochs["epochs"]],
                "figures": {
                    "reliability": figures["reliability"],
                    "positive shift": figures["spill_positive"],
                    "negative shift": figures["spill_negative"],
                    "refusals": figures["refusals"],
                    "distinct answers": figures["distinct"],
                    "neutral KL": figures["kl"],
                    **harmed.get(cell.name, {}),
                },
            }
        )  # fmt: skip
    first = audit(bench, cells[0])
    return {
        "schema": 1,
        "model": {"name": bench.lm.name, "fingerprint": bench.lm.fingerprint},
        "recipe": bench.recipe.model_dump(mode="json"),
        "audited": len(bench.audited),
        "prompts": bench.settings.prompts,
        "base": {
            "refusals": first["refusals_before"],
            "distinct answers": first["distinct_before"],
            **harmed.get("base", {}),
        },
        "cells": rows,
        "missing": list(missing),
    }


def main() -> int:
    """Run all cells, draw the curves, and print one JSON object."""
    parser = argparse.ArgumentParser("python -m benchmarks paper-curves", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("paper-curves"))
    parser.add_argument("--model", default="world")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--prompts", type=int, default=3, help="prompts a fact is asked through")
    parser.add_argument("--recipe", default="paper")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE")
    parser.add_argument("--harm-limit", type=int, help="items of each benchmark")
    parser.add_argument("--train-only", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    recipe = Recipe.named(given.recipe).override(given.sets)
    bench = prepare(given.out, recipe, given.prompts, given.model)
    cells, missing = cells_of(bench, given.sizes, given.seeds)
    train(bench, cells)
    if given.train_only:
        return 0
    curves = gather(bench, cells, missing, harm(bench, cells, given.harm_limit))
    files.write_json(given.out / "curves.json", curves)
    page = reports.curves_page(given.out)
    print(json.dumps({"name": "paper-curves", "cells": len(cells), "page": str(page), **curves}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
