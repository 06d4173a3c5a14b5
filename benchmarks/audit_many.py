"""``audit-many``: sixteen adapters asked the same questions, against PEFT switching one by one.

``base_share`` is the time of as many rows with no adapter, divided by the time with them: what the
base alone would take of the pass. Those rows are of as many different questions, since the same
questions again would share more than questions of different adapters can.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from typing import Any

from benchmarks.answering_sides import TIE, adapters_of, answered, prompts_of
from benchmarks.probe import peers, tuned


def main() -> int:
    """Measure our pass, the same rows without adapters, and the peer; print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=200)
    parser.add_argument("--prompts", type=int, default=10)
    parser.add_argument("--adapters", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-repeats", type=int, default=1)
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plan: dict[str, Any] = {key: getattr(options, key) for key in ("facts", "prompts", "adapters")}
    best = tuned({**plan, "adapters": 2}, options.batches, 500)
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "bare": [], "peer": []}
    for repeat in range(options.repeats):
        for side, runs in found.items():
            if side == "peer" and repeat >= options.peer_repeats:
                continue
            mine = [{**plan, "side": "ours", "threads": 2}]
            if side == "bare":
                mine[0] |= {"facts": plan["facts"] * plan["adapters"], "adapters": 0}
            runs.append(answered(peers(plan, best) if side == "peer" else mine))
            print(f"{repeat + 1} {side}: {runs[-1]['seconds']:.2f} s", file=sys.stderr)
    print(json.dumps(_row(plan, best, found)))
    return 0


def _row(
    plan: dict[str, Any], best: dict[str, Any], found: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    seconds = {name: statistics.median(r["seconds"] for r in runs) for name, runs in found.items()}
    ours, theirs = found["ours"][0]["answers"], found["peer"][0]["answers"]
    checked = _apart(plan, ours, theirs)
    return {
        "name": "audit-many",
        "ours": seconds["ours"],
        "peer": seconds["peer"],
        "ratio": seconds["peer"] / seconds["ours"],
        "base_share": seconds["bare"] / seconds["ours"],
        "unit": "s",
        "equal": checked["different"] == checked["ties"] <= checked["rows"] / 1000,
        "setup": {
            **plan,
            "ranks": [4, 8, 16],
            "peer_best": best,
            "seconds": {name: [run["seconds"] for run in runs] for name, runs in found.items()},
            "megabytes": {name: runs[0]["megabytes"] for name, runs in found.items()},
            "rows": checked,
            "answers_that_differ_from_the_first_adapter": _changed(theirs),
        },
    }


def _apart(plan: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, int]:
    """Answers that differ, and how many of them at a tie of the reference's two top logits."""
    import torch

    from lorepack import llm
    from lorepack.lora import Stack

    different = [key for key in theirs if ours[key] != theirs[key]]
    ties = 0
    if different:
        lm = llm.load("world")
        prompts = prompts_of(lm, plan)
        made = adapters_of(lm, plan["adapters"])
        stack = Stack(lm.model, [spec for spec, _ in made], list(range(len(made))))
        for index, (_, factors) in enumerate(made):
            stack.load_factors(index, factors)
        for key in different:
            index, number = map(int, key.split())
            mine, want = ours[key][0], theirs[key][0]
            both = list(zip(mine, want, strict=False))
            place = next((i for i, (a, b) in enumerate(both) if a != b), len(both))
            ids = torch.tensor([prompts[number] + want[:place]])
            with stack.attached(), stack.using(index), torch.inference_mode():
                top = lm.model(input_ids=ids).logits[0, -1].topk(2).values
            ties += bool(top[0] - top[1] <= TIE)
    return {"rows": len(theirs), "different": len(different), "ties": ties}


def _changed(theirs: dict[str, Any]) -> float:
    others = [key for key in theirs if not key.startswith("0 ")]
    return sum(theirs[key] != theirs[f"0 {key.split()[1]}"] for key in others) / max(1, len(others))


if __name__ == "__main__":
    raise SystemExit(main())
