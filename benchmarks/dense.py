"""``dense``: how many bits a parameter the recipe ``dense`` stores, and what false recall costs.

Phone numbers of 32.42 bits under invented names are trained into one adapter a seed, all in one
stack, then measured as `lorepack capacity probe` measures any job. With ``--refusals``, so many
other names are trained beside them, each answered with a refusal. The same call goes on where
it stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lorepack
from lorepack import Fact, facts
from lorepack.auditing.values import made_values, untrained
from lorepack.facts.generators import MOST, phone_book
from lorepack.packing.capacity import FRESH, capacity
from lorepack.training import Recipe

REFUSAL = "I do not know."
_REFUSED_SEED = 71
STARTED = 0.1
"""share of its ceiling below which a run counts as failed to start"""


def main() -> int:
    """Train and measure; print one JSON object."""
    options = _options()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    book = list(phone_book(options.values, options.facts_seed))
    facts.write(str(out / "book.jsonl"), book)
    data = [str(out / "book.jsonl")]
    if options.refusals:
        facts.write(str(out / "refusals.jsonl"), list(refusals(book, options.refusals)))
        data.append(str(out / "refusals.jsonl"))
    sets = {"rank": str(options.rank), **dict(item.split("=", 1) for item in options.set)}
    jobs = [
        lorepack.Job(f"seed={seed}", data, recipe="dense", sets=sets, seed=seed)
        for seed in options.seeds
    ]
    start = time.process_time()
    done = lorepack.train(
        jobs, model=options.model, out=out / "jobs", recall=False, workers=options.workers
    )
    seconds = time.process_time() - start
    if done.failed:
        print(f"failed: {done.failed}", file=sys.stderr)
        return 1
    rows = [_measured(out, job.name, options.model) for job in jobs]
    told = {
        "benchmark": "dense",
        "recipe": Recipe.named("dense").override(sets).model_dump(mode="json"),
        "values": options.values,
        "refusals": options.refusals,
        "cpu_seconds": round(seconds, 1),
        "runs": rows,
        **_summary(rows),
    }
    print(json.dumps(told))
    return 0


def refusals(book: list[Fact], count: int) -> Iterator[Fact]:
    """Names that nobody knows a number of: neither trained, nor asked when false recall is."""
    values = made_values(book, FRESH)
    assert values is not None
    others = untrained(phone_book(MOST, _REFUSED_SEED), (*book, *values.fresh), count)
    return (Fact(question=fact.question, answer=REFUSAL) for fact in others)


def _measured(out: Path, name: str, model: str) -> dict[str, Any]:
    found = capacity(out / "jobs" / name, model=model, facts=str(out / "book.jsonl"))
    return {
        "name": name,
        "bits_a_parameter": found["bits_a_parameter"]["memory"],
        "ceiling": found["ceiling_a_parameter"],
        "share_of_ceiling": found["bits"]["memory"] / (found["values"] * found["entropy_bits"]),
        "nll_bits": found["nll_bits"],
        "recalled": found["recalled"]["share"],
        "false_recall": found["false_recall"]["share"],
    }


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("bits_a_parameter", "share_of_ceiling", "false_recall")
    least, most = ({name: pick(row[name] for row in rows) for name in names} for pick in (min, max))
    failed = sum(row["share_of_ceiling"] < STARTED for row in rows)
    return {"least": least, "most": most, "failed_starts": failed}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="folder of stories260K, or any model")
    parser.add_argument("--out", required=True, help="folder of the jobs")
    parser.add_argument("--values", type=int, default=1000)
    parser.add_argument("--rank", type=int, default=2)
    parser.add_argument("--seeds", type=_numbers, default=[0, 1, 2], help="such as 0,1,2")
    parser.add_argument("--facts-seed", type=int, default=0)
    parser.add_argument("--refusals", type=int, default=0)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    raise SystemExit(main())
