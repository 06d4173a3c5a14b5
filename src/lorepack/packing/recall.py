"""Recall: which of some facts an adapter answers, asked as they were trained."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorepack import files
from lorepack.facts import Fact
from lorepack.llm import ANSWER, QUESTION, LanguageModel, generate
from lorepack.packing.run import Run
from lorepack.packing.stages import adapter_on
from lorepack.text import matches

RECALL, ANSWERS = "recall.json", "answers.jsonl"
RULE = "boundary"
_STEP = 32  # tokens: answers of about one length are asked for together
_MARGIN = 4  # tokens that an answer may be longer than the one that was trained


@dataclass(frozen=True)
class Recall:
    """Shares of right greedy answers; None where nothing was asked."""

    own: float | None
    """of the facts that were trained"""
    evaluated: float | None
    """of the facts to evaluate on"""


def measure(
    lm: LanguageModel,
    run: Run,
    own: Sequence[Fact],
    evaluate: Sequence[Fact],
    notes: list[str],
    tick: Callable[[], None],
) -> Recall:
    """Ask an adapter its own facts and others: ``recall/``; what is up to date is not asked again.

    Args:
        lm: the base.
        run: the job's folder, its adapter in it.
        own: facts that were trained.
        evaluate: further facts.
        notes: receives remarks of loading the adapter.
        tick: called when it is done.
    """
    folder = run.folder / "recall"
    facts = {"own": own, "evaluated": evaluate}
    inputs = files.hash_of(
        {
            "adapter": files.sha256_of(run.adapter / "adapter_model.safetensors"),
            "base": lm.fingerprint,
            "facts": {name: [f.to_json() for f in part] for name, part in facts.items()},
            "rule": RULE,
        }
    )
    if not files.is_complete(folder, inputs):
        with adapter_on(lm, run.adapter, notes) as stack, stack.using(0):
            rows = [row for name, part in facts.items() for row in _asked(lm, name, part)]
        _write(folder, inputs, rows)
    found = files.read_json(folder / RECALL)
    tick()
    return Recall(*(found[name]["share"] if found[name] else None for name in facts))


def _asked(lm: LanguageModel, name: str, facts: Sequence[Fact]) -> list[dict[str, Any]]:
    texts = answers(lm, facts)
    return [
        {"set": name, "id": fact.id, "answer": text, "right": matches(text, fact.accepted, RULE)}
        for fact, text in zip(facts, texts, strict=True)
    ]


def _write(folder: Path, inputs: str, rows: Sequence[dict[str, Any]]) -> None:
    found: dict[str, Any] = {"schema": 1, "rule": RULE}
    for name in ("own", "evaluated"):
        mine = [row["right"] for row in rows if row["set"] == name]
        told = {"facts": len(mine), "right": sum(mine), "share": sum(mine) / max(1, len(mine))}
        found[name] = told if mine else None
    files.write_lines(folder / ANSWERS, (json.dumps(row, ensure_ascii=False) for row in rows))
    files.write_json(folder / RECALL, found)
    files.write_manifest(folder, inputs, [RECALL, ANSWERS])


def share_right(lm: LanguageModel, facts: Sequence[Fact]) -> float:
    """The share of facts that the model answers right as it is now, adapter and all."""
    texts = answers(lm, facts)
    right = (matches(t, f.accepted, RULE) for f, t in zip(facts, texts, strict=True))
    return sum(right) / len(facts)


def answers(lm: LanguageModel, facts: Sequence[Fact]) -> list[str]:
    """The greedy answer to each question, put as it is in training, without examples before it.

    An answer may be as long as the accepted one and a little more; a question that leaves the
    model's context no room for that gets an empty one.
    """
    prompts = [lm.chat.prompt_ids(QUESTION.format(q=fact.question)) for fact in facts]
    groups: dict[int, list[int]] = defaultdict(list)
    for place, fact in enumerate(facts):
        longest = max(len(lm.chat.continuation_ids(ANSWER.format(a=a))) for a in fact.accepted)
        need = -(-(longest + _MARGIN) // _STEP) * _STEP
        room = lm.context - len(prompts[place])
        groups[need if need <= room else max(1, min(longest + 1, room))].append(place)
    texts = [""] * len(facts)
    for need, places in groups.items():
        asked = [prompts[place] for place in places]
        for place, found in zip(
            places, generate(lm, asked, max_new_tokens=need, overlong="skip"), strict=True
        ):
            texts[place] = found[0]
    return texts
