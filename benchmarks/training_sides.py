"""The two sides of a comparison of training: our engine, and PEFT in a tight loop or the Trainer.

Each side is a process of its own (see `benchmarks.processes`) that tells the losses of every step.
The tight loop: logits at the answers only, the fused optimizer, batches padded to their own
longest example, no casts.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from benchmarks import processes

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def together(
    workers: list[dict[str, Any]], module: str = "benchmarks.training_sides"
) -> dict[str, Any]:
    """Start workers, let them begin at once, and join what they tell."""
    seconds, rows = processes.together(workers, module)
    return {
        "seconds": seconds,
        "losses": {key: value for row in rows for key, value in row["losses"].items()},
        "tokens": sum(row["tokens"] for row in rows),
        "megabytes": sum(row["megabytes"] for row in rows),
    }


def _prepared(plan: dict[str, Any]) -> processes.Work:
    """One worker: it trains and tells the losses of every step."""
    train = {"ours": _ours, "peer": _peer, "trainer": _trainer}[plan["side"]](plan)

    def work() -> dict[str, Any]:
        losses, tokens = train()
        return {"losses": losses, "tokens": tokens}

    return work


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


def _recipe(number: int, plan: dict[str, Any]) -> Any:
    from lorepack.training import Recipe

    rank = plan["ranks"][number % len(plan["ranks"])]
    size = {"epochs": plan["epochs"], "batch_size": plan["batch"]}
    return Recipe(rank=rank, alpha=2 * rank, lr=1e-3, checkpoint_every=10**9, **size)


def _ours(plan: dict[str, Any]) -> Any:
    from lorepack.training.loop import Order, train_many

    lm, examples = _made(plan)
    folder = Path(tempfile.mkdtemp())
    orders = [
        Order(made, _recipe(n, plan), folder / f"t{n}", folder / f"a{n}", seed=n)
        for n, made in examples.items()
    ]

    def train() -> tuple[dict[str, list[float]], int]:
        tokens = Counted(lm.model)
        options = {key: plan[key] for key in ("tokens", "slots", "workers") if plan.get(key)}
        train_many(lm, orders, checkpoints=folder / "checkpoint", **options)
        losses = {}
        for number, order in zip(examples, orders, strict=True):
            lines = (order.out / "train.jsonl").read_text().splitlines()
            losses[str(number)] = [json.loads(line)["loss"] for line in lines]
        return losses, tokens.count

    return train


class Counted:
    """Tokens that go through a model, padding included, in this process and its forks."""

    def __init__(self, model: Any) -> None:
        self._count = multiprocessing.Value("q", 0)
        model.get_input_embeddings().register_forward_hook(self._add)

    @property
    def count(self) -> int:
        """So far."""
        return int(self._count.value)

    def _add(self, module: Any, args: Any, out: Any) -> None:
        with self._count.get_lock():
            self._count.value += args[0].numel()


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

    recipe = _recipe(number, plan)
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
    batches, size = [], plan["batch"]
    for epoch in range(plan["epochs"]):
        order = epoch_order(len(examples), number, epoch)
        if plan.get("sorted"):
            order = tuple(range(len(examples)))
        chosen = [examples[i] for i in order]
        batches += [chosen[start : start + size] for start in range(0, len(chosen), size)]
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
            recipe = _recipe(number, plan)
            arguments = TrainingArguments(
                output_dir=tempfile.mkdtemp(),
                per_device_train_batch_size=plan["batch"],
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


def apart(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> float:
    """The largest relative difference of a loss."""
    return max(
        abs(a - b) / max(abs(b), 1e-9)
        for number, losses in theirs.items()
        for a, b in zip(ours[number], losses, strict=True)
    )


def compared(
    name: str,
    plan: dict[str, Any],
    found: dict[str, list[dict[str, Any]]],
    peers: Collection[str],
    trainer: float | None = None,
) -> dict[str, Any]:
    """The row of a benchmark: ours against the quickest of the peers, medians of the repeats.

    Args:
        name: of the benchmark.
        plan: the jobs; see `together`.
        found: of each side its runs; ``ours``, ``peer`` and those in ``peers`` among them.
        peers: the sides that may count.
        trainer: seconds of the Trainer; None takes the side ``trainer``.
    """
    seconds = {side: statistics.median(r["seconds"] for r in runs) for side, runs in found.items()}
    best = min(peers, key=lambda side: seconds[side])
    far = apart(found["ours"][0]["losses"], found["peer"][0]["losses"])
    asked, peak = work_asked(plan), peak_operations()
    trainer = seconds["trainer"] if trainer is None else trainer
    return {
        "name": name,
        "ours": seconds["ours"],
        "peer": seconds[best],
        "ratio": seconds[best] / seconds["ours"],
        "unit": "s",
        "equal": far < 1e-3,
        "setup": {
            **plan,
            "best_peer": best,
            "seconds": {side: [r["seconds"] for r in runs] for side, runs in found.items()},
            "tokens_asked": asked["tokens"],
            "tokens_computed": {side: runs[0]["tokens"] for side, runs in found.items()},
            "flop_utilisation": {
                side: asked["operations"] / value / peak for side, value in seconds.items()
            },
            "matmul_gflops": peak / 1e9,
            "largest_relative_difference_of_a_loss": far,
            "trainer_seconds_for_all": trainer,
            "ratio_to_trainer": trainer / seconds["ours"],
        },
    }


def work_asked(plan: dict[str, Any]) -> dict[str, float]:
    """The work that the jobs ask for: tokens of their examples, and the model's operations.

    A token costs 2 operations a weight of the linear layers forward and 2 back, since the base
    is frozen; a token of the loss as many for the output head. What adapters add is left out.
    """
    lm, examples = _made({**plan, "numbers": range(plan["jobs"])})
    inner = lm.model.model.layers
    layers = sum(p.numel() for p in inner.parameters() if p.ndim == 2)
    tokens = plan["epochs"] * sum(len(e.ids) for made in examples.values() for e in made)
    answers = plan["epochs"] * sum(
        len(e.ids) - e.answer_start for made in examples.values() for e in made
    )
    head = lm.model.lm_head.weight.numel()
    return {"tokens": tokens, "operations": 4.0 * (tokens * layers + answers * head)}


def peak_operations(threads: int = 2) -> float:
    """Multiplications and additions a second of a large matrix product on this machine, fp32."""
    import torch

    torch.set_num_threads(threads)
    a, b = torch.randn(2, 1536, 1536)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        _ = a @ b
        best = min(best, time.perf_counter() - start)
    return 2 * 1536**3 / best


if __name__ == "__main__":
    raise SystemExit(processes.serve(_prepared))
