"""``real-probes``: full probes of published data sets, by the command line, with time and memory.

``python -m benchmarks real-probes --data DIR [--model world …]`` imports PopQA, EntityQuestions,
CounterFact and zsRE as their authors gave them, and probes every model with each. A model folder
under ``DIR/models`` may be named by its name alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

SETS = {
    "popqa": ("popqa", "open-qa/popqa.json", 2000),
    "entityquestions": ("entityquestions", "open-qa/entity_questions_dev.jsonl", 5000),
    "counterfact": ("counterfact", "edits/counterfact.json", None),
    "zsre": ("zsre", "edits/zsre.json", None),
}
"""name -> format, file, most rows"""


def main() -> int:
    """Import and probe every data set with every model; print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", action="append", dest="models")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--samples", type=int, default=0, help="sampled answers a prompt")
    parser.add_argument("--prompts", type=int, default=10)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    out = given.out or Path(tempfile.mkdtemp())
    rows = []
    for model in given.models or ["world", "stories260K"]:
        folder = given.data / "models" / model
        name = str(folder.resolve()) if folder.is_dir() else model
        for data in given.sets:
            row = probed(name, data, given.data, out / f"{Path(name).name}-{data}", given)
            rows.append({"model": Path(name).name, "data": data, **row})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"name": "real-probes", "rows": rows}))
    return 0


def probed(model: str, name: str, data: Path, out: Path, given: Any) -> dict[str, Any]:
    """One data set on one model."""
    kind, file, limit = SETS[name]
    facts = out / "facts.jsonl"
    most = ["--limit", str(limit)] if limit else []
    command("facts", "import", str(data / file), "--as", kind, "--out", str(facts), *most)
    options = ["--samples", str(given.samples), "--set", f"probe.prompts={given.prompts}"]
    told, seconds, megabytes = command(
        "probe", "--model", model, "--facts", str(facts), "--out", str(out / "probe"), *options
    )
    document = json.loads((out / "probe" / "probe.json").read_text())
    answers = told["facts"] * given.prompts * (1 + given.samples)
    return {
        "facts": told["facts"],
        "categories": told["categories"],
        "refusals": told["refusals"],
        "overlong": document["overlong"]["questions"],
        "seconds": round(seconds, 1),
        "answers_a_second": round(answers / seconds, 1),
        "megabytes": megabytes,
    }


def command(*words: str) -> tuple[dict[str, Any], float, int]:
    """Run `lorepack … --json`: what it told, its seconds, and the most megabytes it held."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "lorepack", *words, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stderr
    said: list[str] = []
    listener = threading.Thread(target=lambda: said.extend(process.stderr or ()))
    listener.start()
    told = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    listener.join()
    if status:
        raise SystemExit("".join(said[-3:]))
    seconds = time.perf_counter() - start
    return json.loads(told.splitlines()[-1]), seconds, usage.ru_maxrss // 1024


if __name__ == "__main__":
    raise SystemExit(main())
