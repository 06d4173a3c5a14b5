"""``packed-distillation``: deep-context distillation of many documents, together or one by one.

Every document, some passages of the made world, becomes one adapter: the student answers its
questions without it as the base does with it in the context. The peer trains one document after
the other over PEFT in a tight plain loop, the teacher computed anew at every step, as published.
A peer that keeps what its teacher said is reported beside it. Same first factors, batches and
loss on both sides; the losses must agree.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.training_sides import Counted, together, with_peft

MODULE = "benchmarks.packed_distillation"


def main() -> int:
    """Measure both sides in turn and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=16)
    parser.add_argument("--passages", type=int, default=8, help="passages a document")
    parser.add_argument("--wordings", type=int, default=2, help="wordings of each question")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=4096, help="tokens of one of our passes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = ("documents", "passages", "wordings", "epochs", "threads", "tokens")
    plan = {key: getattr(options, key) for key in names}
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": [], "peer_keeping": []}
    for repeat in range(options.repeats):
        for name, runs in found.items():
            runs.append(together([{**plan, "side": name}], MODULE))
            print(f"{repeat + 1} {name}: {runs[-1]['seconds']:.2f} s", file=sys.stderr)
    print(json.dumps(_row(plan, found)))
    return 0


def _row(plan: dict[str, Any], found: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    seconds = {name: statistics.median(r["seconds"] for r in runs) for name, runs in found.items()}
    ours = found["ours"][0]["losses"]
    apart = max(
        abs(a - b) / max(abs(b), 1e-9)
        for name in ("peer", "peer_keeping")
        for number, theirs in found[name][0]["losses"].items()
        for a, b in zip(ours[number], theirs, strict=True)
    )
    return {
        "name": "packed-distillation",
        "ours": seconds["ours"],
        "peer": seconds["peer"],
        "ratio": seconds["peer"] / seconds["ours"],
        "unit": "s",
        "equal": apart < 1e-3,
        "setup": {
            **plan,
            "batch_size": 8,
            "rank": 16,
            "seconds": {name: [r["seconds"] for r in runs] for name, runs in found.items()},
            "tokens_computed": {name: runs[0]["tokens"] for name, runs in found.items()},
            "largest_relative_difference_of_a_loss": apart,
            "ratio_to_a_peer_that_keeps_its_teachers": seconds["peer_keeping"] / seconds["ours"],
        },
    }


def _prepared(plan: dict[str, Any]) -> processes.Work:
    """One worker: it trains and tells the losses of every step."""
    train = _ours(plan) if plan["side"] == "ours" else _peer(plan)

    def work() -> dict[str, Any]:
        losses, tokens = train()
        return {"losses": losses, "tokens": tokens}

    return work


def _made(plan: dict[str, Any]) -> tuple[Any, list[list[Any]]]:
    """The model, and the examples of each document."""
    from lorepack import llm, world
    from lorepack.training import Example

    lm, size = llm.load("world"), plan["passages"]
    passages = world.passages(size * plan["documents"], seed=3)
    documents = []
    for start in range(0, len(passages), size):
        text = "\n".join(passage.text for passage in passages[start : start + size])
        examples = []
        for fact in (f for passage in passages[start : start + size] for f in passage.facts):
            for question in (fact.question, *fact.paraphrases)[: plan["wordings"]]:
                said = f"Question: {question}", f"Answer: {fact.answer}"
                ids, first = lm.chat.example_ids(*said)
                told, _ = lm.chat.example_ids(f"{text}\n{said[0]}", said[1])
                examples.append(Example(tuple(ids), first, fact.id, tuple(told)))
        documents.append(examples)
    return lm, documents


def _recipe(plan: dict[str, Any]) -> Any:
    from lorepack.training import Recipe

    size = {"rank": 16, "alpha": 16, "batch_size": 8, "epochs": plan["epochs"]}
    return Recipe(**size, lr=1e-3, loss="distill", checkpoint_every=10**9)


def _ours(plan: dict[str, Any]) -> Any:
    from lorepack.training.loop import Order, train_many

    lm, documents = _made(plan)
    folder = Path(tempfile.mkdtemp())
    orders = [
        Order(examples, _recipe(plan), folder / f"t{n}", folder / f"a{n}", seed=n)
        for n, examples in enumerate(documents)
    ]

    def train() -> tuple[dict[str, list[float]], int]:
        tokens = Counted(lm.model)
        for outcome in train_many(
            lm, orders, checkpoints=folder / "checkpoint", tokens=plan["tokens"]
        ):
            if isinstance(outcome, Exception):
                raise outcome
        losses = {}
        for number, order in enumerate(orders):
            lines = (order.out / "train.jsonl").read_text().splitlines()
            losses[str(number)] = [json.loads(line)["loss"] for line in lines]
        return losses, tokens.count

    return train


def _peer(plan: dict[str, Any]) -> Any:
    lm, documents = _made(plan)

    def train() -> tuple[dict[str, list[float]], int]:
        tokens = Counted(lm.model)
        losses = {str(n): _solo(lm, made, n, plan) for n, made in enumerate(documents)}
        return losses, tokens.count

    return train


def _solo(lm: Any, examples: list[Any], number: int, plan: dict[str, Any]) -> list[float]:
    """One document in a tight loop over PEFT; the model is given back without the adapter."""
    import torch
    from torch.nn import functional as F

    from lorepack.training.batches import epoch_order

    recipe = _recipe(plan)
    model = with_peft(lm, recipe, number)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=recipe.lr, weight_decay=0.0, fused=True)
    batches = [
        [examples[i] for i in order[start : start + 8]]
        for order in (epoch_order(len(examples), number, e) for e in range(plan["epochs"]))
        for start in range(0, len(examples), 8)
    ]
    kept: dict[int, Any] = {}
    losses = []
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * (1 - step / len(batches))
        teachers = _teachers(model, batch, kept if plan["side"] == "peer_keeping" else None)
        log_p = torch.cat([logits for logits, _ in teachers]).log_softmax(-1)
        logits, states = _outputs(model, [(e.ids, len(e.ids) - e.answer_start) for e in batch])
        loss = F.kl_div(
            torch.cat(logits).log_softmax(-1), log_p, reduction="batchmean", log_target=True
        )
        counts = torch.tensor([len(each) for each in logits])
        far = torch.stack(
            [
                torch.stack(
                    [
                        (mine[number] - theirs).abs().mean() / theirs.abs().mean()
                        for mine, theirs in zip(states, hidden, strict=True)
                    ]
                ).mean()
                for number, (_, hidden) in enumerate(teachers)
            ]
        )
        loss = loss + (far * counts).sum() / counts.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        losses.append(loss.item())
    model.unload()
    return losses


def _teachers(model: Any, batch: list[Any], kept: dict[int, Any] | None) -> list[Any]:
    """Logits (p, V) and hidden states, a layer (p, D), of each example's teacher."""
    import torch

    missing = [e for e in batch if kept is None or id(e) not in kept]
    found: dict[int, Any] = {} if kept is None else kept
    if missing:
        read = [(e.teacher_ids, len(e.ids) - e.answer_start) for e in missing]
        with torch.no_grad(), model.disable_adapter():
            logits, states = _outputs(model, read)
        for place, example in enumerate(missing):
            found[id(example)] = logits[place], [layer[place] for layer in states]
    return [found[id(e)] for e in batch]


def _outputs(model: Any, read: list[tuple[tuple[int, ...], int]]) -> tuple[list[Any], list[Any]]:
    """Logits and hidden states at the places that predict the last tokens of each sequence."""
    import torch

    inner = model.base_model.model
    length = max(len(ids) for ids, _ in read)
    ids = torch.zeros(len(read), length, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (known, _) in enumerate(read):
        ids[row, : len(known)], mask[row, : len(known)] = torch.tensor(known), 1
    out = inner.model(
        input_ids=ids, attention_mask=mask, use_cache=False, output_hidden_states=True
    )
    spans = [(len(known) - count - 1, len(known) - 1) for known, count in read]
    states = [[layer[n, a:b] for n, (a, b) in enumerate(spans)] for layer in out.hidden_states]
    last = torch.cat([out.last_hidden_state[n, a:b] for n, (a, b) in enumerate(spans)])
    logits = inner.lm_head(last).split([count for _, count in read])
    return list(logits), states


if __name__ == "__main__":
    raise SystemExit(processes.serve(_prepared) if "--worker" in sys.argv else main())
