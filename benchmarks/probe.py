"""``probe``: many questions behind few prompts, against transformers' ``generate`` at its best.

Greedy answers must be identical row by row, but for ties of the reference's own two top logits.
The peer runs as one process of all threads and as one process a core, at several batch sizes; its
best is what counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from typing import Any

from benchmarks.answering_sides import answered, apart, prompts_of, shared_prefix, tokens_of


def main() -> int:
    """Tune the peer on a slice, measure both sides in turn, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=2000)
    parser.add_argument("--prompts", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-repeats", type=int, default=1)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--slice", type=int, default=1000, help="prompts that the peer is tuned on")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plan: dict[str, Any] = {"facts": options.facts, "prompts": options.prompts}
    best = tuned(plan, options.batches, options.slice)
    ours, peer = [], []
    for repeat in range(options.repeats):
        ours.append(answered([{**plan, "side": "ours", "threads": 2}]))
        print(f"{repeat + 1} ours: {ours[-1]['seconds']:.2f} s", file=sys.stderr)
        if repeat < options.peer_repeats:
            peer.append(answered(peers(plan, best)))
            print(f"{repeat + 1} peer: {peer[-1]['seconds']:.2f} s", file=sys.stderr)
    print(json.dumps(_row(plan, best, ours, peer)))
    return 0


def tuned(plan: dict[str, Any], batches: list[int], size: int) -> dict[str, Any]:
    """The batch size and the number of processes that answer a slice soonest."""
    whole = plan.get("take") or list(range(plan["facts"] * plan["prompts"]))
    part = {**plan, "take": whole[:: max(1, len(whole) // size)]}
    found = {}
    for batch in batches:
        for processes in (1, 2):
            way = {"batch": batch, "processes": processes}
            found[answered(peers(part, way))["seconds"]] = way
            print(f"peer, slice, {way}: {list(found)[-1]:.2f} s", file=sys.stderr)
    return {**found[min(found)], "slice_seconds": {str(w): s for s, w in found.items()}}


def peers(plan: dict[str, Any], way: dict[str, Any]) -> list[dict[str, Any]]:
    """The peer's processes, each with its share of the prompts."""
    whole = plan.get("take") or list(range(plan["facts"] * plan["prompts"]))
    count = way["processes"]
    shared = {**plan, "side": "peer", "batch": way["batch"], "threads": 2 // count}
    return [{**shared, "take": list(whole)[k::count]} for k in range(count)]


def _row(
    plan: dict[str, Any],
    best: dict[str, Any],
    ours: list[dict[str, Any]],
    peer: list[dict[str, Any]],
) -> dict[str, Any]:
    from lorepack import llm

    lm = llm.load("world")
    prompts = prompts_of(lm, plan)
    seconds = statistics.median(run["seconds"] for run in ours)
    theirs = statistics.median(run["seconds"] for run in peer)
    checked = apart(lm, prompts, ours[0]["answers"], peer[0]["answers"])
    tokens = tokens_of(prompts, peer[0]["answers"], shared_prefix(prompts, plan["prompts"]))
    return {
        "name": "probe",
        "ours": seconds,
        "peer": theirs,
        "ratio": theirs / seconds,
        "unit": "s",
        "equal": checked["different"] == checked["ties"] <= checked["rows"] / 1000,
        "setup": {
            **plan,
            "model": "world, fp32",
            "peer_best": best,
            "seconds": {
                "ours": [run["seconds"] for run in ours],
                "peer": [run["seconds"] for run in peer],
            },
            "megabytes": {"ours": ours[0]["megabytes"], "peer": peer[0]["megabytes"]},
            "rows": checked,
            "tokens": tokens,
            "share_of_ceiling": theirs / seconds / tokens["ceiling"],
        },
    }


if __name__ == "__main__":
    raise SystemExit(main())
