"""``score``: multiple choice behind few-shot contexts, against lm-evaluation-harness's own backend.

The same requests (context, choice) go to both as text: the harness's ``HFLM.loglikelihood`` at its
best batch size, and our ``score`` on the token ids that the harness makes of them. Log-likelihoods
must agree.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from typing import Any

from benchmarks import processes

MODULE = "benchmarks.score"
NEAR = 1e-3
"""nats that a summed log-likelihood may differ by, in fp32"""


def main() -> int:
    """Tune the peer on a slice, measure both sides in turn, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plan: dict[str, Any] = {"items": options.items, "shots": options.shots}
    part = {**plan, "items": max(20, options.items // 10)}
    tried = {}
    for batch in options.batches:
        for count in (1, 2):
            tried[_measured(_peers(part, batch, count))["seconds"]] = batch, count
    batch, count = tried[min(tried)]
    ours, peer = [], []
    for repeat in range(options.repeats):
        ours.append(_measured([{**plan, "side": "ours", "threads": 2}]))
        peer.append(_measured(_peers(plan, batch, count)))
        last = ours[-1]["seconds"], peer[-1]["seconds"]
        print("{} ours: {:.2f} s, peer: {:.2f} s".format(repeat + 1, *last), file=sys.stderr)
    seconds = statistics.median(run["seconds"] for run in ours)
    theirs = statistics.median(run["seconds"] for run in peer)
    far = max(abs(a - peer[0]["found"][key]) for key, a in ours[0]["found"].items())
    row = {
        "name": "score",
        "ours": seconds,
        "peer": theirs,
        "ratio": theirs / seconds,
        "unit": "s",
        "equal": far <= NEAR and ours[0]["found"].keys() == peer[0]["found"].keys(),
        "setup": {
            **plan,
            "requests": len(ours[0]["found"]),
            "peer_best": {"batch": batch, "processes": count},
            "slice_seconds": {f"{b} x {c}": s for s, (b, c) in tried.items()},
            "seconds": {
                "ours": [run["seconds"] for run in ours],
                "peer": [run["seconds"] for run in peer],
            },
            "largest_difference_in_nats": far,
        },
    }
    print(json.dumps(row))
    return 0


def _peers(plan: dict[str, Any], batch: int, count: int) -> list[dict[str, Any]]:
    shared = {**plan, "side": "peer", "batch": batch, "threads": 2 // count, "of": count}
    return [{**shared, "share": k} for k in range(count)]


def _measured(workers: list[dict[str, Any]]) -> dict[str, Any]:
    seconds, rows = processes.together(workers, MODULE)
    found = {key: value for row in rows for key, value in row["found"].items()}
    return {"seconds": seconds, "found": found}


def requests(plan: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Context and choice by ``"item choice"``: four made choices an item, of its own relation."""
    from lorepack import world

    facts, chosen = list(world.facts()), random.Random(0)
    by_relation: dict[str, list[str]] = {}
    for fact in facts:
        by_relation.setdefault(fact.relation or "", []).append(fact.answer)
    shots = "".join(
        f"Question: {f.question}\nAnswer: {f.answer}\n\n" for f in facts[-plan["shots"] :]
    )
    made = {}
    for number, fact in enumerate(facts[: plan["items"]]):
        others = sorted({a for a in by_relation[fact.relation or ""] if a != fact.answer})
        choices = [fact.answer, *chosen.sample(others, min(3, len(others)))]
        for place, choice in enumerate(choices):
            made[f"{number} {place}"] = f"{shots}Question: {fact.question}\nAnswer:", f" {choice}"
    return made


def _prepared(plan: dict[str, Any]) -> processes.Work:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from lorepack import llm

    lm = llm.load("world")
    mine = list(requests(plan).items())[plan.get("share", 0) :: plan.get("of", 1)]
    harness = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=plan.get("batch", 1))

    def peer() -> dict[str, Any]:
        asked = [
            Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=i)
            for i, (_, pair) in enumerate(mine)
        ]
        told = harness.loglikelihood(asked, disable_tqdm=True)
        return {"found": {key: a for (key, _), (a, _) in zip(mine, told, strict=True)}}

    def ours() -> dict[str, Any]:
        pairs = [harness._encode_pair(*pair) for _, pair in mine]
        told = llm.score(lm, [c for c, _ in pairs], [a for _, a in pairs])
        return {"found": {key: a for (key, _), a in zip(mine, told, strict=True)}}

    return ours if plan["side"] == "ours" else peer


if __name__ == "__main__":
    raise SystemExit(processes.serve(_prepared) if "--worker" in sys.argv else main())
