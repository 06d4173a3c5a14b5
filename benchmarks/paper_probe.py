"""``paper-probe``: the paper's 21,036 facts × 10 prompts at their true size, on made facts.

``ours`` is the whole probe, from questions to labelled files; ``peer`` is transformers'
``generate`` on a timed slice of the same prompts, as token ids, scaled to all of them. On the slice
the greedy answers must be identical.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.answering_sides import answered, apart, prompts_of
from benchmarks.probe import peers, tuned
from benchmarks.real_probes import command


def main() -> int:
    """Time the whole probe and the peer on a slice; print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=int, default=21_036)
    parser.add_argument("--prompts", type=int, default=10)
    parser.add_argument("--slice", type=int, default=4000, help="prompts that the peer answers")
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plan: dict[str, Any] = {"facts": options.facts, "prompts": options.prompts, "made": True}
    size = options.facts * options.prompts
    sliced = {**plan, "take": list(range(0, size, max(1, size // options.slice)))}
    best = tuned(sliced, options.batches, options.slice // 4)
    theirs = answered(peers(sliced, best))
    mine = answered([{**sliced, "side": "ours", "threads": 2}])
    whole, seconds, megabytes = _whole(options.facts, options.prompts)
    from lorepack import llm

    lm = llm.load("world")
    checked = apart(lm, prompts_of(lm, sliced), mine["answers"], theirs["answers"])
    scaled = theirs["seconds"] * size / len(sliced["take"])
    row = {
        "name": "paper-probe",
        "ours": seconds,
        "peer": scaled,
        "ratio": scaled / seconds,
        "unit": "s",
        "equal": checked["different"] == checked["ties"] <= checked["rows"] / 1000,
        "setup": {
            **plan,
            "questions": size,
            "megabytes": megabytes,
            "categories": whole["categories"],
            "slice": {
                "prompts": len(sliced["take"]),
                "ours": mine["seconds"],
                "peer": theirs["seconds"],
                "ratio": theirs["seconds"] / mine["seconds"],
                "rows": checked,
            },
            "peer_best": best,
        },
    }
    print(json.dumps(row))
    return 0


def _whole(count: int, prompts: int) -> tuple[dict[str, Any], float, int]:
    """The whole probe by the command line: what it told, seconds, megabytes."""
    from benchmarks.answering_sides import made_facts
    from lorepack import facts

    folder = Path(tempfile.mkdtemp())
    facts.write(folder / "facts.jsonl", made_facts(count))
    print(f"{count} facts in {folder}", file=sys.stderr)
    sets = ["--samples", "0", "--set", f"probe.prompts={prompts}"]
    return command(
        "probe", "--model", "world", "--facts", str(folder / "facts.jsonl"),
        "--out", str(folder / "probe"), *sets,
    )  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
