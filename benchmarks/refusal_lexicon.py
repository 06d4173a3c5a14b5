"""How well refusals are told from answers, on answers labelled by hand, and how fast.

``python -m benchmarks refusal-lexicon [--labels FILE] [--refusals FILE] [--errors]``. The labels
have three parts: those the lexicon was tuned on, those held out (both written before it, by the
same hand), and those written after it, which it has never been changed for. Precision is the share
of found refusals that are refusals, recall the share of refusals that are found.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lorepack import refusals
from lorepack.refusals import Lexicon
from lorepack.text import is_refusal

LABELS = Path(__file__).parents[1] / "tests" / "refusals.jsonl"
ANSWERS = 100_000


def read(path: Path) -> list[dict[str, Any]]:
    """Labelled answers: ``text``, ``refusal``, ``language``, ``part``."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def figures(rows: Iterable[Mapping[str, Any]], lexicon: Lexicon | None = None) -> dict[str, Any]:
    """Precision and recall over some labelled answers; None where nothing can be said."""
    pairs = [(row["refusal"], is_refusal(row["text"], lexicon=lexicon)) for row in rows]
    right = sum(told and found for told, found in pairs)
    found, told = sum(found for _, found in pairs), sum(told for told, _ in pairs)
    return {
        "answers": len(pairs),
        "refusals": told,
        "precision": round(right / found, 3) if found else None,
        "recall": round(right / told, 3) if told else None,
        "wrong": sum(told != found for told, found in pairs),
    }


def measure(rows: Sequence[Mapping[str, Any]], lexicon: Lexicon | None = None) -> dict[str, Any]:
    """The figures in all, by part, and by language of what the lexicon was not tuned on."""

    def by(key: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            name: figures([row for row in rows if row[key] == name], lexicon)
            for name in sorted({row[key] for row in rows})
        }

    unseen = [row for row in rows if row["part"] != "tuned on"]
    return {
        "all": figures(rows, lexicon),
        "by_part": by("part", rows),
        "by_language": by("language", unseen),
    }


def speed(rows: Sequence[Mapping[str, Any]]) -> float:
    """Seconds of processor time that a million different answers take."""
    texts = [f"{row['text']} {i}" for i in range(ANSWERS // len(rows) + 1) for row in rows]
    lexicon = refusals.shipped()
    start = time.process_time()
    for text in texts:
        lexicon.refuses(text)
    return round((time.process_time() - start) * 1e6 / len(texts), 1)


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=Path, default=LABELS)
    parser.add_argument("--refusals", type=Path)
    parser.add_argument(
        "--errors", action="store_true", help="name the wrong ones of those tuned on"
    )
    asked = parser.parse_args()
    rows = read(asked.labels)
    lexicon = Lexicon(refusals.read(asked.refusals)) if asked.refusals else None
    found = {**measure(rows, lexicon), "seconds_a_million": speed(rows)}
    if asked.errors:
        found["errors"] = [
            f"{row['language']}: {row['text']}"
            for row in rows
            if row["part"] == "tuned on"
            and is_refusal(row["text"], lexicon=lexicon) != row["refusal"]
        ]
    print(json.dumps(found, ensure_ascii=False, indent=1))
    return 0
