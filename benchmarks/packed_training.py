"""``packed-training``: many adapters in one stack against PEFT, one after the other.

The same jobs, first factors and batches on both sides; a job's losses must agree. The peer is a
tight plain PyTorch loop over PEFT: logits at the answers only, fused optimizer where there is one,
batches padded to their own longest example; also with batches sorted by length, which is quicker
and not the same training. It runs as one process with two threads and as two processes of one, and
the better one counts. The Trainer of transformers, what most users run, is reported beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RANKS = (1, 4, 8, 16)
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def main() -> int:
    """Measure both sides in turn and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=32)
    parser.add_argument("--facts", type=int, default=200, help="facts a job")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=4096, help="tokens of one of our passes")
    parser.add_argument("--trainer-jobs", type=int, default=2, help="jobs the Trainer is timed on")
    parser.add_argument("--worker", help="(one side of the measurement)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.worker:
        return _work(json.loads(options.worker))
    plan = {key: getattr(options, key) for key in ("jobs", "facts", "epochs", "tokens")}
    every = list(range(options.jobs))
    sides = {
        "ours": [{"side": "ours", "threads": 2, "numbers": every}],
        "peer": [{"side": "peer", "threads": 2, "numbers": every}],
        "peer_sorted": [{"side": "peer", "threads": 2, "numbers": every, "sorted": True}],
        "peer_two": [
            {"side": "peer", "threads": 1, "numbers": every[half::2]} for half in range(2)
        ],
        "peer_two_sorted": [
            {"side": "peer", "threads": 1, "numbers": every[half::2], "sorted": True}
            for half in range(2)
        ],
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for repeat in range(options.repeats):
        for name, workers in sides.items():
            found[name].append(together([{**plan, **worker} for worker in workers]))
            print(f"{repeat + 1} {name}: {found[name][-1]['seconds']:.2f} s", file=sys.stderr)
    trainer = together(
        [{**plan, "side": "trainer", "threads": 2, "numbers": every[: options.trainer_jobs]}]
    )
    print(json.dumps(_row(options, found, trainer)))
    return 0


def _row(options: Any, found: dict[str, list[dict[str, Any]]], trainer: dict[str, Any]) -> Any:
    seconds = {name: statistics.median(r["seconds"] for r in runs) for name, runs in found.items()}
    peers = {name: value for name, value in seconds.items() if name != "ours"}
    best = min(peers, key=lambda name: peers[name])
    ours, theirs = found["ours"][0]["losses"], found["peer"][0]["losses"]
    apart = max(
        abs(a - b) / max(abs(b), 1e-9)
        for number in theirs
        for a, b in zip(ours[number], theirs[number], strict=True)
    )
    whole = trainer["seconds"] / options.trainer_jobs * options.jobs
    return {
        "name": "packed-training",
        "ours": seconds["ours"],
        "peer": peers[best],
        "ratio": peers[best] / seconds["ours"],
        "unit": "s",
        "equal": apart < 1e-3,
        "setup": {
            "jobs": options.jobs,
            "facts_a_job": options.facts,
            "epochs": options.epochs,
            "batch_size": 8,
            "ranks": RANKS,
            "repeats": options.repeats,
            "best_peer": best,
            "seconds": {name: [r["seconds"] for r in runs] for name, runs in found.items()},
            "tokens_computed": {name: runs[0]["tokens"] for name, runs in found.items()},
            "largest_relative_difference_of_a_loss": apart,
            "trainer_seconds_for_all": whole,
            "trainer_jobs_timed": options.trainer_jobs,
            "ratio_to_trainer": whole / seconds["ours"],
        },
    }


def together(
    workers: list[dict[str, Any]], module: str = "benchmarks.packed_training"
) -> dict[str, Any]:
    """Start workers, let them begin at once, and take the time until the last one ends."""
    command = [sys.executable, "-m", module, "--worker"]
    started = [
        subprocess.Popen(
            [*command, json.dumps(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for worker in workers
    ]
    for process in started:
        assert process.stdout
        assert process.stdout.readline().strip() == "ready"
    start = time.perf_counter()
    for process in started:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    rows = []
    for process in started:
        assert process.stdout
        rows.append(json.loads(process.stdout.readline()))
    seconds = time.perf_counter() - start
    for process in started:
        process.wait()
    losses = {key: value for row in rows for key, value in row["losses"].items()}
    return {"seconds": seconds, "losses": losses, "tokens": sum(row["tokens"] for row in rows)}


def _work(plan: dict[str, Any]) -> int:
    """One worker: load, say so, wait, train, tell the losses of every step."""
    import torch

    torch.set_num_threads(plan["threads"])
    run = {"ours": _ours, "peer": _peer, "trainer": _trainer}[plan["side"]]
    train = run(plan)
    print("ready", flush=True)
    sys.stdin.readline()
    with contextlib.redirect_stdout(sys.stderr):  # the Trainer prints
        losses, tokens = train()
    print(json.dumps({"losses": losses, "tokens": tokens}), flush=True)
    return 0


def _made(plan: dict[str, Any]) -> tuple[Any, dict[int, list[Any]]]:
    """The model, and the examples of each job."""
    from lorepack import llm, world
    from lorepack.training import Example

    lm = llm.load("world")
    size = plan["facts"]
    facts = list(world.new_facts(size * plan["jobs"], seed=3))
    examples = {}
    for number in plan["numbers"]:
        examples[number] = []
        for fact in facts[number * size : (number + 1) * size]:
            ids, start = lm.chat.example_ids(f"Question: {fact.question}", f"Answer: {fact.answer}")
            examples[number].append(Example(tuple(ids), start, fact.id))
    return lm, examples


def _recipe(number: int, epochs: int) -> Any:
    from lorepack.training import Recipe

    rank = RANKS[number % len(RANKS)]
    return Recipe(
        rank=rank, alpha=2 * rank, lr=1e-3, epochs=epochs, batch_size=8, checkpoint_every=10**9
    )


def _ours(plan: dict[str, Any]) -> Any:
    from lorepack.training.loop import Order, train_many

    lm, examples = _made(plan)
    folder = Path(tempfile.mkdtemp())
    orders = [
        Order(made, _recipe(n, plan["epochs"]), folder / f"t{n}", folder / f"a{n}", seed=n)
        for n, made in examples.items()
    ]

    def train() -> tuple[dict[str, list[float]], int]:
        tokens = Counted(lm.model)
        train_many(lm, orders, checkpoints=folder / "checkpoint", tokens=plan["tokens"])
        losses = {}
        for number, order in zip(examples, orders, strict=True):
            lines = (order.out / "train.jsonl").read_text().splitlines()
            losses[str(number)] = [json.loads(line)["loss"] for line in lines]
        return losses, tokens.count

    return train


class Counted:
    """Tokens that go through a model, padding included."""

    def __init__(self, model: Any) -> None:
        self.count = 0
        model.get_input_embeddings().register_forward_hook(self._add)

    def _add(self, module: Any, args: Any, out: Any) -> None:
        self.count += args[0].numel()


def _peer(plan: dict[str, Any]) -> Any:
    import torch

    lm, examples = _made(plan)

    def train() -> tuple[dict[str, list[float]], int]:
        tokens = Counted(lm.model)
        losses = {}
        for number, made in examples.items():
            losses[str(number)] = _solo(lm, made, number, plan)
        return losses, tokens.count

    torch.manual_seed(0)
    return train


def _solo(lm: Any, examples: list[Any], number: int, plan: dict[str, Any]) -> list[float]:
    """One job in a tight loop over PEFT; the model is given back without the adapter."""
    import torch
    from torch.nn import functional as F

    recipe = _recipe(number, plan["epochs"])
    model = with_peft(lm, recipe, number)
    inner = model.base_model.model
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.lr, weight_decay=0.0, fused=True)
    batches = _batches(examples, number, plan)
    losses = []
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * (1 - step / len(batches))
        length = max(len(example.ids) for example in batch)
        ids = torch.zeros(len(batch), length, dtype=torch.long)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for row, example in enumerate(batch):
            known = torch.tensor(example.ids)
            ids[row, : len(known)], mask[row, : len(known)] = known, 1
            labels[row, example.answer_start : len(known)] = known[example.answer_start :]
        rows, places = (labels[:, 1:] != -100).nonzero(as_tuple=True)
        hidden = inner.model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        logits = inner.lm_head(hidden[rows, places])
        loss = F.cross_entropy(logits, labels[:, 1:][rows, places])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        losses.append(loss.item())
    model.unload()
    return losses


def _batches(examples: list[Any], number: int, plan: dict[str, Any]) -> list[list[Any]]:
    from lorepack.training.batches import epoch_order

    if plan.get("sorted"):
        examples = sorted(examples, key=lambda example: len(example.ids))
    batches = []
    for epoch in range(plan["epochs"]):
        order = epoch_order(len(examples), number, epoch)
        if plan.get("sorted"):
            order = tuple(range(len(examples)))
        chosen = [examples[i] for i in order]
        batches += [chosen[start : start + 8] for start in range(0, len(chosen), 8)]
    return batches


def with_peft(lm: Any, recipe: Any, seed: int) -> Any:
    """The model under PEFT, with the first factors that ours begins with."""
    from peft import LoraConfig, get_peft_model

    from lorepack.lora import AdapterSpec, Stack

    spec = AdapterSpec.for_model(
        lm.model, rank=recipe.rank, alpha=recipe.alpha, roles=recipe.targets
    )
    first = Stack(lm.model, [spec], [seed]).factors(0)
    config = LoraConfig(r=recipe.rank, lora_alpha=int(recipe.alpha), target_modules=list(TARGETS))
    model = get_peft_model(lm.model, config)
    for name, (lora_A, _) in first.items():
        model.base_model.model.get_submodule(name).lora_A["default"].weight.data = lora_A
    return model


def _trainer(plan: dict[str, Any]) -> Any:
    import torch
    from transformers import Trainer, TrainingArguments

    lm, examples = _made(plan)

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        length = max(len(row["input_ids"]) for row in rows)
        pad = {"input_ids": 0, "attention_mask": 0, "labels": -100}
        return {
            key: torch.tensor([row[key] + [fill] * (length - len(row[key])) for row in rows])
            for key, fill in pad.items()
        }

    def train() -> tuple[dict[str, list[float]], int]:
        tokens = Counted(lm.model)
        for number, made in examples.items():
            rows = [
                {
                    "input_ids": list(e.ids),
                    "attention_mask": [1] * len(e.ids),
                    "labels": [-100] * e.answer_start + list(e.ids[e.answer_start :]),
                }
                for e in made
            ]
            recipe = _recipe(number, plan["epochs"])
            arguments = TrainingArguments(
                output_dir=tempfile.mkdtemp(),
                per_device_train_batch_size=8,
                num_train_epochs=plan["epochs"],
                learning_rate=recipe.lr,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                use_cpu=True,
                remove_unused_columns=False,
            )
            model = with_peft(lm, recipe, number)
            Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate).train()
            model.unload()
        return {}, tokens.count

    return train


if __name__ == "__main__":
    raise SystemExit(main())
