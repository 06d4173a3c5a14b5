"""The gates on a published example: 40 questions and answers for each paper of PaperQA.

``python -m benchmarks given-gates --data FOLDER`` where FOLDER holds ``paperQA.json`` and
``paperqa_train_qa40.jsonl`` of *Understanding LoRA as Knowledge Memory* (arXiv 2603.01097).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lorepack import facts
from lorepack.facts.importing import import_facts
from lorepack.facts.passage import Passage
from lorepack.facts.passages_file import read_passages
from lorepack.synthesis.coverage import Coverage
from lorepack.synthesis.gates import REASONS, Earlier, Gates, GateSettings, Rejection
from lorepack.synthesis.given import Given, read_given
from lorepack.synthesis.leaks import Leaks, LeakSummary, leak_figures


def papers(folder: Path) -> tuple[list[Passage], list[facts.Fact]]:
    """The introductions, each one passage, and the questions of the evaluation."""
    with tempfile.TemporaryDirectory() as work:
        asked, told = Path(work) / "facts.jsonl", Path(work) / "passages.jsonl"
        import_facts(folder / "paperQA.json", asked, fmt="paperqa", passages=told)
        return list(read_passages(told)), facts.load(asked)


def leaks_of(passages: Sequence[Passage], asked: Sequence[facts.Fact]) -> dict[str, Leaks]:
    """By passage, the evaluation questions of its paper."""
    return {
        passage.id: Leaks(f.question for f in asked if f.source == f"paperqa/{passage.document}")
        for passage in passages
    }


def judged(
    given: Sequence[Given],
    passages: Sequence[Passage],
    leaks: dict[str, Leaks],
    settings: GateSettings,
) -> Iterator[tuple[Given, Rejection | None]]:
    """Every item with what the gates say, paper by paper."""
    by_id = {passage.id: passage for passage in passages}
    earlier = {passage.id: Earlier() for passage in passages}
    for one in given:
        name = one.item.passage
        gates = Gates(settings, leaks[name])
        rejection = gates.rejection(one.item, by_id[name], earlier[name])
        if rejection is None:
            earlier[name].add(one.item)
        yield one, rejection


def measure(folder: Path, *, tagged: bool) -> dict[str, Any]:
    """Counts by gate, the mean coverage of the passages, and how near the evaluation is."""
    passages, asked = papers(folder)
    given = list(read_given(folder / "paperqa_train_qa40.jsonl", passages, form="qa"))
    assert not any(one.problem for one in given)
    leaks = leaks_of(passages, asked)
    counts: Counter[str] = Counter()
    covered = {passage.id: Coverage(passage.text) for passage in passages}
    near = {name: LeakSummary(some) for name, some in leaks.items()}
    settings = GateSettings(self_contained=not tagged)
    for one, rejection in judged(given, passages, leaks, settings):
        near[one.item.passage].add(one.item.question or "")
        if rejection is None:
            covered[one.item.passage].add(one.item)
        else:
            counts[rejection.reason] += 1
    return {
        "items": len(given),
        "kept": len(given) - counts.total(),
        "rejected": {reason: counts[reason] for reason in REASONS if counts[reason]},
        "coverage": sum(one.share for one in covered.values()) / len(covered),
        "leaks": leak_figures(list(near.values())),
    }


def main() -> int:
    """Print what the gates say, with the tags of the papers and without."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data
    start = time.perf_counter()
    found = {"tagged": measure(folder, tagged=True), "untagged": measure(folder, tagged=False)}
    print(json.dumps(found | {"seconds": round(time.perf_counter() - start, 2)}, indent=2))
    return 0
