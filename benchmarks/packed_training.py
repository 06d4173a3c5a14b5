"""``packed-training``: many adapters in one stack against PEFT, one after the other.

The same jobs, first factors and batches on both sides; a job's losses must agree. The peer is a
tight plain PyTorch loop over PEFT, see `benchmarks.training_sides`; also with batches sorted by
length, which is quicker and not the same training. It runs as one process with two threads and as
two processes of one, and the better one counts. The Trainer of transformers, what most users run,
is reported beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from benchmarks.training_sides import compared, together

RANKS = (1, 4, 8, 16)


def main() -> int:
    """Measure both sides in turn and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=32)
    parser.add_argument("--facts", type=int, default=200, help="facts a job")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, help="tokens of one of our passes")
    parser.add_argument("--trainer-jobs", type=int, default=2, help="jobs the Trainer is timed on")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plan = {key: getattr(options, key) for key in ("jobs", "facts", "epochs", "tokens")}
    plan |= {"ranks": RANKS, "batch": 8}
    every = list(range(options.jobs))
    halves = [{"threads": 1, "numbers": every[half::2]} for half in range(2)]
    peer = {"side": "peer", "threads": 2, "numbers": every}
    sides: dict[str, list[dict[str, Any]]] = {
        "ours": [{"side": "ours", "threads": 2, "numbers": every}],
        "peer": [peer],
        "peer_sorted": [{**peer, "sorted": True}],
        "peer_two": [{**peer, **half} for half in halves],
        "peer_two_sorted": [{**peer, **half, "sorted": True} for half in halves],
    }
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for repeat in range(options.repeats):
        for name, workers in sides.items():
            found[name].append(together([{**plan, **worker} for worker in workers]))
            print(f"{repeat + 1} {name}: {found[name][-1]['seconds']:.2f} s", file=sys.stderr)
    few = {"side": "trainer", "threads": 2, "numbers": every[: options.trainer_jobs]}
    trainer = together([{**plan, **few}])["seconds"] / options.trainer_jobs * options.jobs
    peers = sides.keys() - {"ours"}
    print(json.dumps(compared("packed-training", plan, found, sorted(peers), trainer)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
