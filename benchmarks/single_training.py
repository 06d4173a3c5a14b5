"""``single-training``: one adapter, against PEFT in a tight loop and the Trainer.

The same examples, first factors and batches on all sides; losses must agree with the tight loop
(the Trainer shuffles by itself). See `benchmarks.training_sides`.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from benchmarks.training_sides import compared, together


def main() -> int:
    """Measure the sides in turn and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=3000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--batch", type=int, default=16, help="as the recipe recommended has it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plan: dict[str, Any] = {key: getattr(options, key) for key in ("facts", "epochs", "batch")}
    plan |= {"jobs": 1, "ranks": (options.rank,), "numbers": [0], "threads": 2}
    sides: dict[str, dict[str, Any]] = {
        "ours": {"side": "ours"},
        "peer": {"side": "peer"},
        "peer_sorted": {"side": "peer", "sorted": True},
        "trainer": {"side": "trainer"},
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for repeat in range(options.repeats):
        for name, side in sides.items():
            found[name].append(together([{**plan, **side}]))
            print(f"{repeat + 1} {name}: {found[name][-1]['seconds']:.2f} s", file=sys.stderr)
    peers = ("peer", "peer_sorted")
    print(json.dumps(compared("single-training", plan, found, peers)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
