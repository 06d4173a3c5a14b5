"""``packed-scaling``: one to hundreds of adapters in one call: examples a second, memory a job.

``ours`` and ``peer`` are the examples a second of the largest and of the smallest number of jobs,
``ratio`` how much more the same machine does when the jobs come together. Losses of the first job
must not depend on how many share its stack.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from typing import Any

from benchmarks.packed_training import RANKS
from benchmarks.training_sides import apart, together


def main() -> int:
    """Measure each number of jobs in turn and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=256, help="jobs; powers of two up to here")
    parser.add_argument("--facts", type=int, default=64, help="facts a job")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2, help="of one thread each, at most")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plan = {"facts": options.facts, "epochs": 1, "ranks": RANKS, "batch": 8, "side": "ours"}
    plan |= {"threads": options.processes, "slots": options.most, "workers": options.processes}
    counts = [2**power for power in range(options.most.bit_length()) if 2**power <= options.most]
    found: dict[int, list[dict[str, Any]]] = {count: [] for count in counts}
    for repeat in range(options.repeats):
        for count in counts:
            found[count].append(together([{**plan, "jobs": count, "numbers": list(range(count))}]))
            rate = count * options.facts / found[count][-1]["seconds"]
            print(f"{repeat + 1} {count} jobs: {rate:.0f} examples/s", file=sys.stderr)
    print(json.dumps(_row(plan, found)))
    return 0


def _row(plan: dict[str, Any], found: dict[int, list[dict[str, Any]]]) -> Any:
    seconds = {n: statistics.median(r["seconds"] for r in runs) for n, runs in found.items()}
    rates = {n: n * plan["facts"] / value for n, value in seconds.items()}
    memory = {n: max(run["megabytes"] for run in runs) for n, runs in found.items()}
    few, many = min(found), max(found)
    first = {n: {"0": runs[0]["losses"]["0"]} for n, runs in found.items()}
    far = max(apart(first[n], first[few]) for n in found)
    return {
        "name": "packed-scaling",
        "ours": rates[many],
        "peer": rates[few],
        "ratio": rates[many] / rates[few],
        "unit": "examples/s",
        "equal": far < 1e-3,
        "setup": {
            **plan,
            "examples_a_second": rates,
            "megabytes_of_the_largest_process": memory,
            "megabytes_a_job_more": (memory[many] - memory[few]) / (many - few),
            "largest_relative_difference_of_a_loss": far,
        },
    }


if __name__ == "__main__":
    raise SystemExit(main())
