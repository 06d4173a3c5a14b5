"""``real-jobs``: published data in many adapters by one command, and the same by PEFT one by one.

Fifteen papers, an adapter each (rank 16): forty questions and the introduction, cut into passages
that fit the model's context. Four sectors of a phone book, each with ranks 1, 4 and 16. All are
trained by one ``lorepack train JOBS.yaml``, on a model of 260 thousand parameters that was trained
on children's stories, and on ``world``. ``--peer`` trains the same jobs by PEFT, one after the
other, from the same first factors and in the same order, and asks the same questions.

As it stands, a job takes a few of its facts, to be done in minutes; ``--full`` takes all.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

SOURCE = "lora-as-knowledge-memory"
PAPER = re.compile(r"In the Paper ID (\d+), ")
INTRODUCTION = re.compile(r"^This paper (\d+) discusses:", re.MULTILINE)
SECTORS, RANKS = 4, (1, 4, 16)
QUICK = {"facts": 4, "characters": 200, "epochs": 60, "lr": 5e-3}
FULL = {"facts": None, "characters": None, "epochs": 250, "lr": 1e-3}
NEAR = 0.05
"""recalls that count as the same: over thousands of steps rounding decides a fact here and there"""


def main() -> int:
    """Train, print the table, then one JSON object."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks real-jobs",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--models", nargs="+", default=["stories260K", "world"])
    parser.add_argument("--out", type=Path, help="kept when given; the same command goes on")
    parser.add_argument("--full", action="store_true", help="all facts and whole introductions")
    parser.add_argument("--facts", type=int, help="facts a job")
    parser.add_argument("--characters", type=int, help="of each introduction")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--peer", action="store_true", help="by PEFT, too")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if not (given.data / SOURCE).is_dir():
        print(f"{given.data / SOURCE}: not there; give --data", file=sys.stderr)
        return 2
    asked = {k: v for k in QUICK if (v := getattr(given, k)) is not None}
    plan = {**(FULL if given.full else QUICK), **asked}
    with tempfile.TemporaryDirectory() as temporary:
        out = (given.out or Path(temporary)).resolve()
        jobs = write_data(given.data / SOURCE, out / "data", plan)
        found = {
            name: measure(name, given.data, out, jobs, plan, given.peer) for name in given.models
        }
    print(json.dumps(row(plan, found, given.peer)))
    return 0


def write_data(source: Path, out: Path, plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Write the data of every job; the jobs, as the file of jobs lists them."""
    out.mkdir(parents=True, exist_ok=True)
    return [*_papers(source, out, plan), *_sectors(source, out, plan)]


def _papers(source: Path, out: Path, plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    questions: dict[int, list[str]] = {}
    for line in (source / "paperqa_train_qa40.jsonl").read_text().splitlines():
        paper = PAPER.match(json.loads(line)["question"])
        assert paper is not None
        questions.setdefault(int(paper[1]), []).append(line)
    joined = json.loads((source / "paperqa_introductions.jsonl").read_text())["text"]
    begins = [*INTRODUCTION.finditer(joined)]
    ends = [*(begin.start() for begin in begins[1:]), len(joined)]
    texts = {int(b[1]): joined[b.start() : e].strip() for b, e in zip(begins, ends, strict=True)}
    assert questions.keys() == texts.keys()
    for paper in sorted(texts):
        facts, text = out / f"paper-{paper:02}.jsonl", out / f"paper-{paper:02}.txt"
        facts.write_text("\n".join(questions[paper][: plan["facts"]]) + "\n")
        text.write_text(texts[paper][: plan["characters"]])
        data = [str(facts), str(text)]
        yield {"name": f"paper-{paper:02}", "data": data, "rank": 16, "alpha": 32, "seed": paper}


def _sectors(source: Path, out: Path, plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for sector in range(SECTORS):
        name = f"phonebook_qa_128K_sector_{sector:02}.csv"
        lines = (source / name).read_text().splitlines()
        facts = lines[1:] if plan["facts"] is None else lines[1 : 1 + plan["facts"]]
        (out / name).write_text("\n".join([lines[0], *facts]) + "\n")
        for rank in RANKS:
            job = {"name": f"sector-{sector:02},rank={rank}", "data": str(out / name)}
            yield {**job, "rank": rank, "alpha": 2 * rank, "seed": sector}


def measure(
    name: str, data: Path, out: Path, jobs: list[dict[str, Any]], plan: dict[str, Any], peer: bool
) -> dict[str, Any]:
    """All jobs on one model, by one command, and by PEFT where asked."""
    model = "world" if name.startswith("world") else str((data / "models" / name).resolve())
    file = out / f"{name}.yaml"
    recipe = {"epochs": plan["epochs"], "lr": plan["lr"], "min_steps": 0, "batch_size": 8,
              "schedule": "linear", "overlong": "cut", "checkpoint_every": 1000}  # fmt: skip
    content = {"model": model, "out": str(out / name), "defaults": recipe, "jobs": jobs}
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    command = [sys.executable, "-m", "lorepack", "train", str(file), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout.strip():
        raise SystemExit(done.returncode)
    told = json.loads(done.stdout.splitlines()[-1])
    seconds = json.loads((out / name / "timing.json").read_text())["seconds"]
    keys = ("examples", "cut", "dropped", "steps", "loss", "recall")
    rows = {job["name"]: {key: job.get(key) for key in keys} for job in told["jobs"]}
    found = {"seconds": seconds["train"], "jobs": rows, "failed": told["failed"]}
    if peer:
        found["peer_seconds"] = _by_peft(file, rows)
    print(table(name, rows, peer), file=sys.stderr)
    return found


def table(model: str, rows: dict[str, dict[str, Any]], peer: bool) -> str:
    """Markdown: recall and loss of each job."""
    columns = ["examples", "steps", "loss", "recall", *(["peer_loss", "peer_recall"] * peer)]
    lines = [f"| {model} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, found in rows.items():
        values = [found.get(key) for key in columns]
        shown = [f"{v:.3f}" if isinstance(v, float) else str(v) for v in values]
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _by_peft(file: Path, rows: dict[str, dict[str, Any]]) -> float:
    """Train the jobs of a file by PEFT, one by one; the seconds of training."""
    from lorepack import llm
    from lorepack.packing import material
    from lorepack.packing.job import listed
    from lorepack.packing.job_file import read_jobs
    from lorepack.packing.recall import share_right

    given = read_jobs(file)
    assert given.model is not None
    lm = llm.load(given.model)
    seconds = 0.0
    for job in given.jobs:
        recipe = job.chosen()
        found = material.gather(listed(job.data), material.read_source)
        limit = min(recipe.max_length, lm.context)
        examples = material.examples(lm, found, job.seed, limit)
        start = time.perf_counter()
        model, loss = _alone(lm, recipe, examples, limit, job.seed)
        seconds += time.perf_counter() - start
        model.eval()
        rows[job.name] |= {"peer_loss": loss, "peer_recall": share_right(lm, found.facts)}
        model.unload()
        lm.model.requires_grad_(False)
        told = {"job": job.name, "ours": rows[job.name]["recall"]}
        told["peer"] = rows[job.name]["peer_recall"]
        print(json.dumps(told), file=sys.stderr, flush=True)
    return seconds


def _alone(lm: Any, recipe: Any, examples: list[Any], limit: int, seed: int) -> tuple[Any, float]:
    """One job in a plain loop over PEFT; the model and the mean loss of the last epoch."""
    import torch
    from torch.nn import functional as F

    from benchmarks.training_sides import with_peft
    from lorepack.training.batches import epoch_order, fit
    from lorepack.training.schedule import lr_at

    vocabulary = lm.model.get_input_embeddings().weight.shape[0]
    rule = recipe.overlong
    kept = fit(examples, limit=limit, rule=rule, whole=False, vocabulary=vocabulary).examples
    model = with_peft(lm, recipe, seed)
    model.train()
    inner = model.base_model.model
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.lr, weight_decay=0.0, fused=True)
    starts = range(0, len(kept), recipe.batch_size)
    total, step = len(starts) * recipe.epochs, 0
    summed, counted = 0.0, 0
    for epoch in range(recipe.epochs):
        order = epoch_order(len(kept), seed, epoch)
        summed, counted = 0.0, 0
        for start in starts:
            ids, mask, rows, places = _padded(
                [kept[i] for i in order[start : start + recipe.batch_size]]
            )
            for group in optimizer.param_groups:
                group["lr"] = lr_at(step, total=total, peak=recipe.lr, warmup=0, kind="linear")
            hidden = inner.model(input_ids=ids, attention_mask=mask, use_cache=False)
            logits = inner.lm_head(hidden.last_hidden_state[rows, places])
            loss = F.cross_entropy(logits, ids[rows, places + 1])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, recipe.clip)
            optimizer.step()
            step += 1
            summed, counted = summed + loss.item() * len(rows), counted + len(rows)
    return model, summed / counted


def _padded(batch: list[Any]) -> tuple[Any, Any, Any, Any]:
    """Ids and mask (B, T) of a batch; row and place (P,) of what predicts a token that counts."""
    import torch

    length = max(len(example.ids) for example in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    mask, counts = torch.zeros_like(ids), torch.zeros_like(ids)
    for row, example in enumerate(batch):
        size = len(example.ids)
        ids[row, :size], mask[row, :size] = torch.tensor(example.ids), 1
        counts[row, max(1, example.answer_start) : size] = 1
    rows, places = counts[:, 1:].nonzero(as_tuple=True)
    return ids, mask, rows, places


def row(plan: dict[str, Any], found: dict[str, dict[str, Any]], peer: bool) -> dict[str, Any]:
    """The result as one JSON object."""
    every = [one for model in found.values() for one in model["jobs"].values()]
    ours = sum(model["seconds"] for model in found.values())
    theirs = sum(model["peer_seconds"] for model in found.values()) if peer else None
    failed = any(model["failed"] for model in found.values())
    apart = (
        [abs(one["recall"] - one["peer_recall"]) for one in every] if peer and not failed else []
    )
    return {
        "name": "real-jobs",
        "ours": ours,
        "peer": theirs,
        "ratio": theirs / ours if theirs else None,
        "unit": "s",
        "equal": max(apart) <= NEAR if apart else None,
        "setup": {
            **plan,
            "jobs_a_model": len(every) // len(found),
            "mean_recall": {
                name: sum(one["recall"] or 0 for one in model["jobs"].values()) / len(model["jobs"])
                for name, model in found.items()
            },
            "largest_difference_of_a_recall": max(apart, default=None),
            "jobs_of_exactly_the_same_recall": sum(a == 0 for a in apart) if apart else None,
            "models": found,
        },
    }


if __name__ == "__main__":
    raise SystemExit(main())
