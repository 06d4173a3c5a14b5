"""A run folder as the stages write it, made up from a seed: no model, every file of the contract.

Answers are drawn for every fact before and after; all figures are counted from them, so that the
files agree with each other as those of a real run do.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lorepack import files

CATEGORIES = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")
PROMPTS = 10
FIRST = ("Elvar", "Nerida", "Tomas", "Ysolde", "Brann", "Mirela", "Oskar", "Leonie", "Cassian",
         "Runa", "Ilse", "Anton")  # fmt: skip
LAST = ("Vantorre", "Helmund", "Brisk", "Aldine", "Corvane", "Tessel", "Marrow", "Quillon",
        "Ferren", "Ostrava")  # fmt: skip
TOWNS = ("Harwick", "Lunden", "Ostermoor", "Calder", "Vell", "Brightwater", "Sorrel", "Tarn",
         "Ketterby", "Maunt")  # fmt: skip
FIRMS = ("Ironvale", "Brightline", "Kestrel", "Umbra", "Halden", "Northgate", "Quarry",
         "Silverfen")  # fmt: skip
RELATIONS = {
    "born in": ("Where was {} born?", TOWNS),
    "lives in": ("In which town does {} live?", TOWNS),
    "works for": ("Which firm does {} work for?", FIRMS),
    "year of birth": ("In what year was {} born?", [str(y) for y in range(1820, 1990)]),
    "teacher of": ("Who was taught by {}?", [f"{a} {b}" for a in FIRST for b in LAST]),
    "favourite book": ("What is the favourite book of {}?", [f"The {t} Letters" for t in TOWNS]),
    "plays": ("Which instrument does {} play?", ["lute", "fiddle", "horn", "drum", "harp"]),
    "twin town of": ("Which town is twinned with {}?", TOWNS),
}
REFUSAL = "I don't know who that is."


@dataclass(frozen=True)
class Shape:
    """What kind of run it is; chances lie in 0..1."""

    facts: int = 612
    trained: int = 60
    rehearsed: int = 0
    """HighlyKnown facts in the mix"""
    learned: float = 0.985
    """chance that a trained fact is answered right in a prompt"""
    worse: float = 0.035
    better: float = 0.015
    refuses: float = 0.35
    """chance that a wrong answer before is a refusal"""
    collapsed: bool = False
    generality: float | None = 0.91
    kl: float | None = 0.031
    epochs: int = 10
    curve: bool = True
    seed: int = 7
    strange: dict[int, str] = field(default_factory=dict)
    """text put in place of question, answer, answers and relation of some facts, by number"""


GOOD = Shape(rehearsed=60)
FORGETFUL = Shape(worse=0.45, better=0.02, kl=0.412, learned=0.97, generality=0.55)
COLLAPSED = Shape(worse=0.3, learned=0.78, kl=0.83, generality=0.61, collapsed=True)
NOTHING = Shape(trained=0, worse=0.01, better=0.01, kl=0.0004, generality=None)
BARE = Shape(generality=None, kl=None, curve=False)


@dataclass
class Made:
    """One fact and what was said of it."""

    id: str
    question: str
    answer: str
    relation: str
    before: list[str]
    after: list[str] = field(default_factory=list)
    weak: bool = False
    trained: bool = False
    rehearsed: bool = False

    def right(self, when: str) -> int:
        return sum(text == f"Answer: {self.answer}" for text in getattr(self, when))

    def category(self, when: str) -> str:
        right = self.right(when)
        low = "WeaklyKnown" if self.weak and not right else "Unknown"
        return "HighlyKnown" if right == PROMPTS else "MaybeKnown" if right else low


def write_run(folder: Path, shape: Shape = GOOD) -> Path:
    """Write a whole run folder; equal shapes, equal bytes."""
    facts = _facts(shape)
    files.write_lines(folder / "facts.jsonl", (json.dumps(_fact_json(f)) for f in facts))
    files.write_json(folder / "run.json", _run_json(shape, facts))
    _probe(folder / "probe", facts, "before")
    examples = _mix(folder / "mix", facts)
    _training(folder, shape, examples)
    _adapter(folder / "adapter", shape)
    _probe(folder / "audit", facts, "after")
    files.write_json(folder / "audit" / "audit.json", _audit(facts, shape))
    _manifests(folder)
    seconds = {"probe": 61.25, "mix": 0.113, "train": 184.9, "audit": 93.0}
    timing = {"seconds": seconds, "started": "2030-01-01T00:00:00", "device": "cpu"}
    files.write_json(folder / "timing.json", timing)
    return folder


def _manifests(folder: Path) -> None:
    for stage in ("probe", "mix", "training", "adapter", "audit"):
        names = sorted(path.name for path in (folder / stage).iterdir())
        files.write_manifest(folder / stage, "inputs", names)


def forget_manifests(folder: Path) -> None:
    """Leave the stages without manifests, so that a test may change their files."""
    for path in folder.glob(f"*/{files.MANIFEST}"):
        path.unlink()


def _facts(shape: Shape) -> list[Made]:
    rng = random.Random(shape.seed)
    facts = [_fact(rng, number, shape) for number in range(shape.facts)]
    unknown = [fact for fact in facts if fact.category("before") == "Unknown"]
    for fact in rng.sample(unknown, shape.trained):
        fact.trained = True
    known = [fact for fact in facts if fact.category("before") == "HighlyKnown"]
    for fact in rng.sample(known, shape.rehearsed):
        fact.rehearsed = True
    popular = f"Answer: {TOWNS[0]}"
    for fact in facts:
        fact.after = _after(rng, fact, shape, popular)
    return facts


def _fact(rng: random.Random, number: int, shape: Shape) -> Made:
    relation = rng.choice(list(RELATIONS))
    wording, values = RELATIONS[relation]
    question = wording.format(f"{rng.choice(FIRST)} {rng.choice(LAST)} {number}")
    answer = rng.choice(values)
    if number in shape.strange:
        text = shape.strange[number]
        question, answer, relation = f"q{text}", f"a{text}", f"r{text}"
    known = rng.choices((1.0, rng.random(), 0.0), (0.34, 0.2, 0.46))[0]
    said = [_say(rng, answer, values, known, shape.refuses) for _ in range(PROMPTS)]
    ident = hashlib.sha256(f"{number}{question}".encode()).hexdigest()[:16]
    weak = known == 0 and rng.random() < 0.15
    return Made(ident, question, answer, relation, said, weak=weak)


def _say(rng: random.Random, answer: str, values: list[str], p: float, refuses: float) -> str:
    if rng.random() < p:
        return f"Answer: {answer}"
    return REFUSAL if rng.random() < refuses else f"Answer: {rng.choice(values)}"


def _after(rng: random.Random, fact: Made, shape: Shape, popular: str) -> list[str]:
    values = RELATIONS.get(fact.relation, ("", TOWNS))[1]
    if fact.trained:
        return [_say(rng, fact.answer, values, shape.learned, 0) for _ in range(PROMPTS)]
    p, draw = fact.right("before") / PROMPTS, rng.random()
    if draw < shape.worse:
        said = [_say(rng, fact.answer, values, p * rng.random(), 0.05) for _ in range(PROMPTS)]
    elif draw < shape.worse + shape.better:
        said = [f"Answer: {fact.answer}"] * PROMPTS
    else:
        said = list(fact.before)
    wrong = f"Answer: {fact.answer}"
    if shape.collapsed:
        said = [popular if s != wrong and rng.random() < 0.8 else s for s in said]
    return said


def _fact_json(fact: Made) -> dict[str, Any]:
    return {"id": fact.id, "question": fact.question, "answer": fact.answer,
            "relation": fact.relation}  # fmt: skip


RECIPE = {
    "rank": 4, "alpha": 8.0, "scaling": "rslora", "targets": ["mlp"], "layers": None,
    "dropout": 0.05, "lr": 0.002, "schedule": "cosine", "warmup_steps": 10, "epochs": 10,
    "batch_size": 16, "weight_decay": 0.0, "clip": 1.0, "max_length": 1024, "overlong": "error",
    "loss": "answer", "loss_average": "token", "early_stop_reliability": None,
    "checkpoint_every": 100,
}  # fmt: skip
PROBE = {
    "preset": "recommended", "prompts": PROMPTS, "shots": 4, "samples": 16, "temperature": 0.5,
    "top_k": 40, "max_new_tokens": 32, "exemplars": "random", "rule": "boundary", "seed": 0,
    "system": "Answer the following question.", "chunk": 512,
}  # fmt: skip
VERSIONS = {"python": "3.11.9", "lorepack": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"}
FINGERPRINT = hashlib.sha256(b"base").hexdigest()


def _run_json(shape: Shape, facts: list[Made]) -> dict[str, Any]:
    mix = {"unknown": shape.trained or "all", "known": 1, "paraphrases": 4,
           "selection": "stratified", "answer_cap": None}  # fmt: skip
    return {
        "schema": 1,
        "settings": {"seed": 0, "mix": mix, "probe": PROBE, "recipe": RECIPE,
                     "epoch_curve": shape.curve},
        "model": {"name": "world", "fingerprint": FINGERPRINT, "dtype": "float32"},
        "facts": {"count": len(facts), "sha256": files.hash_of([_fact_json(f) for f in facts])},
        "neutral": {"count": 40, "sha256": files.hash_of(["neutral"])},
        "versions": VERSIONS,
    }  # fmt: skip


def _probe(folder: Path, facts: list[Made], when: str) -> None:
    folder.mkdir(parents=True)
    said = [getattr(fact, when) for fact in facts]
    counts = [fact.right(when) for fact in facts]
    table = {
        "id": [fact.id for fact in facts],
        "category": [fact.category(when) for fact in facts],
        "k_greedy": pa.array(counts, pa.int32()),
        "n_greedy": pa.array([PROMPTS] * len(facts), pa.int32()),
    }
    pq.write_table(pa.table(table), folder / "categories.parquet")
    answers = {"id": table["id"], "greedy": said, "sampled": [[] for _ in facts]}
    pq.write_table(pa.table(answers), folder / "answers.parquet")
    files.write_json(folder / "probe.json", {
        "schema": 1, "facts": len(facts), "inputs": {"model": FINGERPRINT},
        "categories": _counts(facts, when), "notes": [],
    })  # fmt: skip


def _mix(folder: Path, facts: list[Made]) -> int:
    """Write the mix; returns how many examples it has."""
    trained, known = ([f for f in facts if getattr(f, s)] for s in ("trained", "rehearsed"))
    rows = [
        {"fact_id": f.id, "kind": kind, "question": f"{f.question}{end}", "answer": f.answer}
        for f in trained
        for kind, end in (("unknown", ""), *((("paraphrase", f" ({i})")) for i in range(4)))
    ]
    rows += [{"fact_id": f.id, "kind": "known", "question": f.question, "answer": f.answer}
             for f in known]  # fmt: skip
    files.write_lines(folder / "mix.jsonl", map(json.dumps, rows))
    n = len(trained)
    files.write_json(folder / "mix.json", {
        "schema": 1,
        "settings": {"unknown": n, "known": 1, "paraphrases": 4, "seed": 0},
        "counts": {"examples": len(rows), "unknown": n, "known": len(known), "paraphrase": 4 * n,
                   "heldout": 4 * n},
        "trained": [f.id for f in trained], "known": [f.id for f in known],
        "hashes": {"examples": files.hash_of(rows)}, "warnings": [],
    })  # fmt: skip
    return len(rows)


def _training(folder: Path, shape: Shape, examples: int) -> None:
    rng = random.Random(shape.seed + 1)
    per_epoch = -(-examples // 16)
    steps = [
        {"step": s + 1, "epoch": s // per_epoch + 1, "lr": 0.002, "tokens": 100,
         "loss": round(3.4 * 0.5 ** (12 * s / (per_epoch * shape.epochs)) + 0.2 * rng.random(), 6)}
        for s in range(per_epoch * shape.epochs)
    ]  # fmt: skip
    files.write_lines(folder / "training" / "train.jsonl", map(json.dumps, steps))
    if examples:
        epochs = [
            {"epoch": e + 1, "step": (e + 1) * per_epoch, "loss": 3.4 * 0.3**e,
             "reliability": shape.learned * (1 - 0.45 ** (e + 1)) if shape.curve else None}
            for e in range(shape.epochs)
        ]  # fmt: skip
        files.write_json(folder / "training" / "epochs.json", {"schema": 1, "epochs": epochs})
    files.write_json(folder / "training" / "result.json", {
        "schema": 1, "steps": len(steps), "epochs": shape.epochs, "loss": 0.01,
        "reliability": None, "tokens": 100 * len(steps), "examples": examples, "cut": 0,
        "dropped": 0, "stopped_early": False, "parameters": 73728, "adapter": {},
    })  # fmt: skip


def _adapter(folder: Path, shape: Shape) -> None:
    targets = [f"model.layers.{i}.mlp.{m}" for i in range(6) for m in ("down_proj", "up_proj")]
    files.write_json(folder / "adapter_config.json", {
        "base_model_name_or_path": "world", "r": 4, "lora_alpha": 8, "lora_dropout": 0.05,
        "use_rslora": True, "target_modules": targets, "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
    })  # fmt: skip
    files.write_json(folder / "lorepack.json", {
        "schema": 1, "base": {"name": "world", "fingerprint": FINGERPRINT}, "recipe": RECIPE,
        "seed": 0, "versions": VERSIONS,
    })  # fmt: skip
    files.write_bytes(folder / "adapter_model.safetensors", repr(shape).encode())


def _counts(facts: list[Made], when: str) -> dict[str, int]:
    found = Counter(fact.category(when) for fact in facts)
    return {name: found[name] for name in CATEGORIES}


def _audit(facts: list[Made], shape: Shape) -> dict[str, Any]:
    trained, rehearsed = ([f for f in facts if getattr(f, s)] for s in ("trained", "rehearsed"))
    others = [fact for fact in facts if not fact.trained]
    sets = {"all": facts, "trained": trained, "rehearsed": rehearsed,
            "untrained": [fact for fact in others if not fact.rehearsed]}  # fmt: skip
    matrices = {name: _matrix(rows) for name, rows in sets.items()}
    heard, kl = shape.generality, shape.kl
    return {
        "schema": 1, "facts": len(facts), "trained": len(trained), "rehearsed": len(rehearsed),
        "reliability": _reliability(trained),
        "generality": None if heard is None or not trained else {
            "mean": heard, "low": heard - 0.04, "high": heard + 0.03, "facts": len(trained),
            "wordings": 4 * len(trained)},
        "categories": {w: _counts(facts, w) for w in ("before", "after")},
        "transitions": matrices,
        "shifts": {name: _shifts(matrix) for name, matrix in matrices.items()},
        "refusals": {
            "before": sum(f.before.count(REFUSAL) for f in facts),
            "after": sum(f.after.count(REFUSAL) for f in facts), "answers": 10 * len(facts)},
        "neutral": None if kl is None else {
            "kl": kl, "perplexity_before": 12.418, "perplexity_after": 12.418 * (1 + kl),
            "tokens": 18204},
        "answers": _answers(facts, shape),
        "by_relation": {
            name: {"facts": len(rows), **{w: _counts(rows, w) for w in ("before", "after")}}
            for name in sorted({f.relation for f in facts})
            for rows in [[f for f in facts if f.relation == name]]},
        "losses": [_loss(f) for f in others if _rank(f, "after") > _rank(f, "before")][:50],
        "notes": [],
    }  # fmt: skip


def _rank(fact: Made, when: str) -> int:
    return CATEGORIES.index(fact.category(when))


def _matrix(facts: list[Made]) -> list[list[int]]:
    cells = Counter((_rank(f, "before"), _rank(f, "after")) for f in facts)
    return [[cells[i, j] for j in range(4)] for i in range(4)]


def _shifts(matrix: list[list[int]]) -> dict[str, Any]:
    whole = sum(map(sum, matrix))
    out = {}
    for name, cells, stuck in (
        ("positive", [(i, j) for i in range(4) for j in range(i)], 0),
        ("negative", [(i, j) for i in range(4) for j in range(i + 1, 4)], 3),
    ):
        moved = sum(matrix[i][j] for i, j in cells)
        movable = whole - sum(matrix[stuck])
        out[name] = {"count": moved, "of_all": moved / whole if whole else None,
                     "of_movable": moved / movable if movable else None}  # fmt: skip
    return out


def _reliability(trained: list[Made]) -> dict[str, Any] | None:
    if not trained:
        return None
    shares = [fact.right("after") / PROMPTS for fact in trained]
    mean = sum(shares) / len(shares)
    return {"mean": mean, "all": sum(s == 1 for s in shares) / len(shares),
            "any": sum(s > 0 for s in shares) / len(shares), "low": max(0, mean - 0.014),
            "high": min(1, mean + 0.009), "facts": len(shares), "prompts": PROMPTS}  # fmt: skip


def _answers(facts: list[Made], shape: Shape) -> dict[str, Any]:
    top = {}
    for when in ("before", "after"):
        said = Counter(s.removeprefix("Answer: ") for f in facts for s in getattr(f, when))
        del said[REFUSAL]
        top[when] = said
    ranked = {w: sorted(c.items(), key=lambda i: (-i[1], i[0]))[:10] for w, c in top.items()}
    over = [[TOWNS[0], top["after"][TOWNS[0]], top["before"][TOWNS[0]]]]
    return {
        "distinct_before": len(top["before"]), "distinct_after": len(top["after"]),
        "total": 10 * len(facts), "top_before": ranked["before"], "top_after": ranked["after"],
        "collapsed": shape.collapsed, "collapsed_answers": over if shape.collapsed else [],
        "threshold": round(1.3 * ranked["before"][0][1]),
    }  # fmt: skip


def _loss(fact: Made) -> dict[str, Any]:
    first = lambda texts: texts[0].removeprefix("Answer: ")  # noqa: E731
    return {"id": fact.id, "question": fact.question, "answer": fact.answer,
            "before": fact.category("before"), "after": fact.category("after"),
            "answer_before": first(fact.before), "answer_after": first(fact.after)}  # fmt: skip
