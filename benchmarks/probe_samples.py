"""``probe-samples``: sixteen samples a prompt, against transformers' ``generate``.

The peer answers a seeded slice, and so do we; our time for the whole is given beside it. Draws
differ, so that what must agree is the distribution: the share of samples that are right, by prompt
and in all, within three standard errors of its difference.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
from typing import Any

from benchmarks.answering_sides import answered
from benchmarks.probe import peers, tuned

FAR = 3.0
"""standard errors that the sides may be apart"""


def main() -> int:
    """Measure both sides on the slice, and ours on the whole, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=2000)
    parser.add_argument("--prompts", type=int, default=10)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--share", type=float, default=0.05, help="of the prompts, for the peer")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16, 32])
    parser.add_argument("--whole", action="store_true", help="time ours on all prompts too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plan: dict[str, Any] = {key: getattr(options, key) for key in ("facts", "prompts", "samples")}
    size = options.facts * options.prompts
    part = sorted(random.Random(0).sample(range(size), math.ceil(size * options.share)))
    sliced = {**plan, "take": part}
    best = tuned(sliced, options.batches, max(1, len(part) // 5))
    ours, peer = [], []
    for repeat in range(options.repeats):
        ours.append(answered([{**sliced, "side": "ours", "threads": 2}]))
        peer.append(answered(peers(sliced, best)))
        last = ours[-1]["seconds"], peer[-1]["seconds"]
        print("{} ours: {:.2f} s, peer: {:.2f} s".format(repeat + 1, *last), file=sys.stderr)
    whole = answered([{**plan, "side": "ours", "threads": 2}])["seconds"] if options.whole else None
    print(json.dumps(_row(sliced, best, ours, peer, whole)))
    return 0


def _row(
    plan: dict[str, Any],
    best: dict[str, Any],
    ours: list[dict[str, Any]],
    peer: list[dict[str, Any]],
    whole: float | None,
) -> dict[str, Any]:
    seconds = statistics.median(run["seconds"] for run in ours)
    theirs = statistics.median(run["seconds"] for run in peer)
    found = _agreement(plan, ours[0]["answers"], peer[0]["answers"])
    return {
        "name": "probe-samples",
        "ours": seconds,
        "peer": theirs,
        "ratio": theirs / seconds,
        "unit": "s",
        "equal": abs(found["standard_errors_apart"]) <= FAR,
        "setup": {
            **{key: value for key, value in plan.items() if key != "take"},
            "prompts_of_the_slice": len(plan["take"]),
            "temperature": 0.5,
            "top_k": 40,
            "peer_best": best,
            "seconds": {
                "ours": [run["seconds"] for run in ours],
                "peer": [run["seconds"] for run in peer],
                "ours_on_all_prompts": whole,
            },
            "megabytes": {"ours": ours[0]["megabytes"], "peer": peer[0]["megabytes"]},
            "agreement": found,
        },
    }


def _agreement(
    plan: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]
) -> dict[str, float]:
    """Shares of right samples, and how far apart they are.

    The difference's standard error is over prompts, since samples of one prompt come together.
    """
    from lorepack import llm, world
    from lorepack.text import matches

    chat = llm.load("world").chat
    facts = list(world.facts())
    shares: dict[str, list[float]] = {"ours": [], "peer": []}
    for key, row in theirs.items():
        accepted = facts[int(key.split()[1]) // plan["prompts"]].accepted
        for side, answers in (("ours", ours[key]), ("peer", row)):
            right = [matches(chat.decode(ids), accepted) for ids in answers]
            shares[side].append(sum(right) / len(right))
    gaps = [a - b for a, b in zip(shares["ours"], shares["peer"], strict=True)]
    error = statistics.stdev(gaps) / math.sqrt(len(gaps))
    return {
        "right_ours": statistics.mean(shares["ours"]),
        "right_peer": statistics.mean(shares["peer"]),
        "standard_errors_apart": statistics.mean(gaps) / error if error else 0.0,
    }


if __name__ == "__main__":
    raise SystemExit(main())
