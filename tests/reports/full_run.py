"""A run folder with everything a run can have: causes, controls, weights, budget, harm, bits.

Built on `sample_run`, with wrong answers that hardly repeat, as large models give them. What is
counted there is counted here from the same tables; figures of other tools are drawn from the seed.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lorepack import files

from . import sample_run
from .sample_run import CATEGORIES, Shape

LARGE = Shape(facts=20_000, trained=500, rehearsed=500, worse=0.12, better=0.04)
SMALL = Shape(facts=300, trained=20, rehearsed=20, worse=0.2, better=0.06)
LABELS = ("refusal_gone", "refusal_come", "explosion", "target", "domain", "relation", "subject",
          "format")  # fmt: skip
SYLLABLES = ("ka", "lor", "mi", "ven", "tas", "ru", "el", "dorn", "ish", "qua", "bre", "ol",
             "shan", "te", "wyr", "zu", "fen", "gal")  # fmt: skip
KINDS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def write_run(folder: Path, shape: Shape = SMALL, layers: int = 6) -> Path:
    """Write a whole run folder; equal shapes, equal bytes."""
    rng = random.Random(shape.seed + 2)
    sample_run.write_run(folder, shape)
    sample_run.forget_manifests(folder)
    for stage in ("probe", "audit"):
        _many_names(folder, stage, rng)
    audit = json.loads((folder / "audit" / "audit.json").read_text())
    audit |= _audit(folder, rng, layers)
    files.write_json(folder / "audit" / "audit.json", audit)
    files.write_json(folder / "harm" / "harm.json", harm(rng))
    files.write_json(folder / "budget" / "budget.json", budget(rng))
    files.write_json(folder / "bits.json", BITS)
    return folder


def _name(rng: random.Random) -> str:
    words = ("".join(rng.choices(SYLLABLES, k=rng.randint(2, 3))).capitalize() for _ in range(2))
    return " ".join(words)


def _many_names(folder: Path, stage: str, rng: random.Random) -> None:
    """Put names in place of the wrong answers, each prompt's its own one time in four."""
    path = folder / stage / "answers.parquet"
    facts = map(json.loads, (folder / "facts.jsonl").open())
    right = {fact["id"]: f"Answer: {fact['answer']}" for fact in facts}
    table = pq.read_table(path).to_pylist()
    for row in table:
        usual = f"Answer: {_name(rng)}"
        row["greedy"] = [
            text if text in (sample_run.REFUSAL, right[row["id"]])
            else usual if rng.random() < 0.75 else f"Answer: {_name(rng)}"
            for text in row["greedy"]
        ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(table), path)


def _audit(folder: Path, rng: random.Random, layers: int) -> dict[str, Any]:
    mix = json.loads((folder / "mix" / "mix.json").read_text())
    kept = {*mix["trained"], *mix["known"]}
    facts = [json.loads(line) for line in (folder / "facts.jsonl").open()]
    before, after = (
        {r["id"]: r for r in pq.read_table(folder / s / "categories.parquet").to_pylist()}
        for s in ("probe", "audit")
    )
    rank = CATEGORIES.index
    moved = {
        ident: rank(after[ident]["category"]) - rank(before[ident]["category"]) for ident in before
    }
    shifted = [ident for ident, by in sorted(moved.items()) if by and ident not in kept]
    rows = [
        {"id": ident, "direction": "negative" if moved[ident] > 0 else "positive",
         "before": before[ident]["category"], "after": after[ident]["category"],
         "causes": sorted(rng.sample(LABELS, rng.choice((0, 0, 1, 1, 2)))),
         "answer_before": "a", "answer_after": "b"}
        for ident in shifted
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), folder / "audit" / "causes.parquet")
    buckets = [(name, facts[at::4]) for at, name in enumerate(("head", "torso", "tail", "unknown"))]
    return {
        "causes": _causes(rows, rng),
        "by_relation": _by_relation(facts, before, after, moved, set(mix["trained"])),
        "by_popularity": [_bucket(n, part, before, after, moved) for n, part in buckets],
        "by_frequency": [_bucket(n, part, before, after, moved)
                         for n, (_, part) in zip(("1", "2-4", "5-9", "10+"), buckets, strict=True)],
        "controls": {"before": _controls(rng, 0.06), "after": _controls(rng, 0.11)},
        "neutral": {"kl": 0.031, "perplexity_before": 12.4, "perplexity_after": 12.9,
                    "tokens": 29_383, "most_changed": _tokens(rng)},
        "weights": _weights(rng, layers),
        "applied": {"logit_difference": 3.21},
    }  # fmt: skip


def _counts(ids: list[str], table: dict[str, Any]) -> dict[str, int]:
    return {**dict.fromkeys(CATEGORIES, 0), **Counter(table[i]["category"] for i in ids)}


def _bucket(name: str, facts: Any, before: Any, after: Any, moved: Any) -> dict[str, Any]:
    ids = [fact["id"] for fact in facts]
    return {"bucket": name, "facts": len(ids), "before": _counts(ids, before),
            "after": _counts(ids, after), "positive": sum(moved[i] < 0 for i in ids),
            "negative": sum(moved[i] > 0 for i in ids)}  # fmt: skip


def _by_relation(
    facts: Any, before: Any, after: Any, moved: Any, trained: set[str]
) -> dict[str, Any]:
    found = {}
    for name in sorted({fact["relation"] for fact in facts}):
        rows = [fact for fact in facts if fact["relation"] == name]
        mine = [fact["id"] for fact in rows if fact["id"] in trained]
        one = _bucket(name, rows, before, after, moved)
        right = [after[i]["k_greedy"] / after[i]["n_greedy"] for i in mine]
        one |= {"trained": len(mine), "reliability": sum(right) / len(right) if right else None}
        found[name] = {key: value for key, value in one.items() if key != "bucket"}
    return found


def _causes(rows: list[dict[str, Any]], rng: random.Random) -> dict[str, Any]:
    sides = {}
    for way in ("positive", "negative"):
        side = [row for row in rows if row["direction"] == way]
        labels = {}
        for label in LABELS:
            count = sum(label in row["causes"] for row in side)
            share = count / len(side) if side else 0.0
            chance = share * rng.choice((0.2, 0.6, 1.0))
            labels[label] = {"count": count, "share": share, "chance": chance, "low": 0.8 * chance,
                             "high": 1.2 * chance,
                             "p": 0.0004 if share > 1.2 * chance else 0.41}  # fmt: skip
        explained = sum(bool(row["causes"]) for row in side)
        sides[way] = {"shifts": len(side), "explained": explained,
                      "unexplained": len(side) - explained, "labels": labels}  # fmt: skip
    exploded = [["Harwick", 940, 31], ["Tarn", 411, 40]]
    rule = "given more often than any wrong answer of the base"
    return {"domains": "facts", **sides,
            "explosion": {"rule": rule, "threshold": 320, "answers": exploded}}  # fmt: skip


def _controls(rng: random.Random, floor: float) -> dict[str, Any]:
    by_relation = {
        name: {"facts": 100, "controls": 20, "known": 0.5, "floor": rng.random() / 5,
               "corrected": 0.44, "low": 0.38, "high": 0.49}
        for name in sample_run.RELATIONS
    }  # fmt: skip
    return {
        "per_relation": 20, "questions": 160,
        "categories": {"HighlyKnown": floor / 3, "MaybeKnown": 2 * floor / 3, "WeaklyKnown": 0.0,
                       "Unknown": 1 - floor},
        "corrected": {"known": 0.48, "low": 0.45, "high": 0.51, "raw": 0.51, "floor": floor},
        "by_relation": by_relation,
    }  # fmt: skip


def _tokens(rng: random.Random) -> list[dict[str, Any]]:
    words = [" the", "\n", " judge", " was", "<b>", " Harwick", " in", ",", " of", " 1943"]
    return [{"token": word, "count": rng.randint(3, 900), "kl": 2.0 / (n + 1),
             "share": 0.1 / (n + 1)} for n, word in enumerate(words)]  # fmt: skip


def _weights(rng: random.Random, layers: int) -> dict[str, Any]:
    modules = [
        {"name": f"model.layers.{layer}.{kind}", "layer": layer, "kind": kind, "rank": 4,
         "norm": 0.4 + rng.random(), "relative": 0.002 + 0.03 * rng.random() * (layer + 1) / layers,
         "intruders": rng.choice((0, 0, 0, 1, 2))}
        for layer in range(layers) for kind in KINDS
    ]  # fmt: skip
    return {"modules": modules, "total_norm": 6.2, "threshold": 0.6,
            "intruders": sum(one["intruders"] for one in modules)}  # fmt: skip


def harm(rng: random.Random) -> dict[str, Any]:
    """Outside tasks under two adapters, one metric that is no share among them."""

    def metric(value: float, error: float, adapters: tuple[str, ...]) -> dict[str, Any]:
        found = {}
        for name in adapters:
            delta = rng.gauss(-2, 1.5) * error
            found[name] = {"value": value + delta, "stderr": error, "delta": delta,
                           "delta_stderr": 0.9 * error, "p": min(1.0, rng.random()),
                           "test": "mcnemar"}  # fmt: skip
        return {"base": {"value": value, "stderr": error}, "adapters": found}

    tasks = {}
    for name, metrics, shots in (
        ("mmlu", ("acc",), 5), ("truthfulqa_mc1", ("acc",), 0), ("truthfulqa_mc2", ("acc",), 0),
        ("truthfulqa_gen", ("bleu_max", "rougeL_max"), 0), ("arc_challenge", ("acc_norm",), 25),
        ("world-geography", ("acc",), 0),
    ):  # fmt: skip
        tasks[name] = {
            "shots": min(shots, 3), "shots_asked": shots, "limit": None, "template": "default",
            "filter": "none", "items": rng.randint(300, 14_042), "overlong": rng.randint(0, 9),
            "metrics": {m: metric(23.0 if "max" in m else 0.4, 0.7 if "max" in m else 0.012,
                                  ("world", "gentle")) for m in metrics},
        }  # fmt: skip
    model = {"name": "world", "fingerprint": sample_run.FINGERPRINT}
    return {"schema": 1, "tool": "lm-evaluation-harness", "version": "0.4.9",
            "model": model, "tasks": tasks}  # fmt: skip


def budget(rng: random.Random) -> dict[str, Any]:
    """Three checkpoints at eight strengths; the best point within all limits is chosen."""
    limits = {"neutral_kl": 0.05, "negative_shift": 0.04, "mmlu": -0.01}
    points = []
    for checkpoint in (4, 8, "final"):
        for step in range(1, 9):
            x = step / 8
            late = {4: 0.6, 8: 0.85}.get(checkpoint, 1.0) if checkpoint != "final" else 1.0
            measures = {
                "neutral_kl": 0.12 * x * x * late + 0.004 * rng.random(),
                "negative_shift": 0.11 * x * late * late,
                "mmlu": -0.03 * x * late + 0.004 * rng.random(),
            }
            holds = (measures["neutral_kl"] <= 0.05 and measures["negative_shift"] <= 0.04
                     and measures["mmlu"] >= -0.01)  # fmt: skip
            points.append({"checkpoint": checkpoint, "strength": x, "layers": None,
                           "reliability": min(1.0, 1.25 * x**0.6 * late**0.3),
                           "measures": measures, "holds": holds})  # fmt: skip
    held = [n for n, point in enumerate(points) if point["holds"]]
    chosen = max(held, key=lambda n: points[n]["reliability"]) if held else None
    test = {name: {"value": value, "limit": limits[name], "held": name != "negative_shift"}
            for name, value in points[chosen or 0]["measures"].items()}  # fmt: skip
    return {"schema": 1, "limits": limits, "points": points, "chosen": chosen,
            "development": {"facts": 400}, "held": False,
            "test": {"reliability": 0.71, "measures": test}}  # fmt: skip


BITS = {
    "schema": 1, "values": 1000, "entropy_bits": 19.9, "known_entropy": True, "parameters": 9184,
    "bits": {"clipped": 18_400.0, "unclipped": 18_100.0, "memory": 18_900.0},
    "bits_a_parameter": {"clipped": 2.003, "unclipped": 1.97, "memory": 2.06,
                         "rank_effective": 2.2},
    "ceiling_a_parameter": 2.17, "nll_bits": {"trained": 1.5, "fresh": 22.0, "wrong_key": 21.0},
    "false_recall": {"keys": 1000, "share": 0.23, "threshold": 0.5}, "recalled": {"share": 0.94},
}  # fmt: skip
