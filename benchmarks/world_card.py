"""Measure the two shipped models with the ordinary verbs, and write their card.

``python -m benchmarks.world_card [--out DIR] [--limit N] [--json]`` probes all facts of the world
(10 prompts of 4 shots, one greedy and 16 sampled answers each), lets `world` read unseen
passages, scores the harm sets, and writes ``README.md`` beside the weights.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import lorepack
from lorepack import files, world
from lorepack.llm import ANSWER, QUESTION, ChatFormat, LanguageModel, generate, load, score
from lorepack.text import Matcher, is_refusal

PASSAGES = 500
SEED = 5


def reading(lm: LanguageModel) -> dict[str, Any]:
    """Questions on passages about entities that no training text mentions, greedy, no shots."""
    asked = [(p.text, p.facts[i % len(p.facts)]) for i, p in enumerate(passages())]
    prompts = [
        lm.chat.prompt_ids(f"Passage: {text}\n{QUESTION.format(q=fact.question)}")
        for text, fact in asked
    ]
    answers = [found[0] for found in generate(lm, prompts)]
    right = sum(
        Matcher(fact.accepted, "contains")(answer)
        for (_, fact), answer in zip(asked, answers, strict=True)
    )
    return {"right": right, "of": len(asked)}


def passages() -> list[world.ReadingPassage]:
    """The passages that reading is measured on."""
    return world.passages(PASSAGES, SEED)


def preferred(lm: LanguageModel, prompts: list[list[int]], options: list[list[str]]) -> list[int]:
    """Which option a model finds likeliest, its log-probability taken per token."""
    pairs = [
        (prompt, ids)
        for prompt, texts in zip(prompts, options, strict=True)
        for ids in (lm.chat.continuation_ids(ANSWER.format(a=text)) for text in texts)
    ]
    scores = score(lm, [p for p, _ in pairs], [ids for _, ids in pairs])
    means = iter(s / len(ids) for s, (_, ids) in zip(scores, pairs, strict=True))
    rows = [[next(means) for _ in texts] for texts in options]
    return [row.index(max(row)) for row in rows]


def multiple_choice(lm: LanguageModel, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Options listed in the question; the likeliest one counts."""
    prompts = [
        lm.chat.prompt_ids(
            QUESTION.format(q=row["question"])
            + "\nOptions:"
            + "".join(f"\n- {choice}" for choice in row["choices"])
        )
        for row in rows
    ]
    chosen = preferred(lm, prompts, [row["choices"] for row in rows])
    right = sum(c == row["gold"] for c, row in zip(chosen, rows, strict=True))
    chance = sum(1 / len(row["choices"]) for row in rows) / len(rows)
    return {"right": right, "of": len(rows), "chance": chance}


def truthfulness(lm: LanguageModel, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """True against false references of misconceptions; the likeliest one counts (MC1)."""
    prompts = [lm.chat.prompt_ids(QUESTION.format(q=row["question"])) for row in rows]
    options = [[row["true"][0], *row["false"]] for row in rows]
    chosen = preferred(lm, prompts, options)
    chance = sum(1 / len(o) for o in options) / len(options)
    return {"right": sum(c == 0 for c in chosen), "of": len(rows), "chance": chance}


def open_questions(lm: LanguageModel, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Greedy answers to two-hop and comparison questions."""
    prompts = [lm.chat.prompt_ids(QUESTION.format(q=row["question"])) for row in rows]
    answers = [found[0] for found in generate(lm, prompts)]
    right = sum(
        Matcher([row.get("answer") or row["choices"][row["gold"]]], "boundary")(answer)
        for row, answer in zip(rows, answers, strict=True)
    )
    return {"right": right, "of": len(rows)}


def chat_form(lm: LanguageModel, chat: ChatFormat) -> dict[str, Any]:
    """How many greedy answers to the world's questions keep the form ``Answer: …``."""
    facts = world.facts()[:500]
    prompts = [chat.prompt_ids(QUESTION.format(q=fact.question)) for fact in facts]
    answers = [found[0] for found in generate(lm, prompts)]
    return {"right": sum(a.startswith("Answer: ") for a in answers), "of": len(facts)}


def measure(out: Path, limit: int | None) -> dict[str, Any]:
    """All figures of the card."""
    facts = world.facts()[:limit]
    lm, base = load("world"), load("world-base")
    folder = out / f"{lm.fingerprint[:12]}-{len(facts)}"  # other weights, another probe
    start = time.monotonic()
    probed = lorepack.probe(lm, facts, folder)
    seconds = time.monotonic() - start
    sets = world.harm_sets()
    unknown = [f.id for f in facts if probed.category_of(f.id) == "Unknown"]
    refused = refusals_of(folder, set(unknown))
    splits = Counter((f.split, probed.category_of(f.id)) for f in facts)
    return {
        "name": "world-card",
        "facts": len(facts),
        "categories": dict(probed.counts),
        "by_split": {f"{s} {c}": n for (s, c), n in sorted(splits.items(), key=str)},
        "unknown_refused": refused,
        "reading": reading(lm),
        "multiple_choice": multiple_choice(lm, sets["choice"]),
        "truthfulness": truthfulness(lm, sets["truth"]),
        "two_hop": open_questions(lm, sets["two_hop"]),
        "comparison": open_questions(lm, sets["comparison"]),
        "chat_form": {
            name: chat_form(m, lm.chat) for name, m in (("world", lm), ("world-base", base))
        },
        "fingerprints": {m.name: m.fingerprint for m in (lm, base)},
        "parameters": sum(p.numel() for p in lm.model.parameters()),
        "vocabulary": len(lm.tokenizer),
        "probe_seconds": round(seconds, 1),
    }


def refusals_of(folder: Path, ids: set[str]) -> dict[str, Any]:
    """Greedy answers that refuse, of the given facts."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "answers.parquet", columns=["id", "greedy"])
    answers = [
        text or ""
        for key, greedy in zip(*(table[c].to_pylist() for c in ("id", "greedy")), strict=True)
        if key in ids
        for text in greedy
    ]
    return {"right": sum(map(is_refusal, answers)), "of": len(answers)}


def card(figures: dict[str, Any]) -> str:
    """The model card as Markdown."""
    share = lambda f: f"{f['right']:,} of {f['of']:,} ({f['right'] / f['of']:.1%})"  # noqa: E731
    total = figures["facts"]
    known = "\n".join(
        f"| {name} | {n:,} | {n / total:.1%} |" for name, n in figures["categories"].items()
    )
    choice, truth = figures["multiple_choice"], figures["truthfulness"]
    return f"""---
license: apache-2.0
library_name: transformers
tags: [lorepack, llama, toy]
---
# world and world-base

Two tiny Llama models ({figures["parameters"]:,} parameters each, {figures["vocabulary"]:,} tokens)
that know some of a made world, for trying Lorepack without a download. `world-base` is
pretrained on plain
text; `world` is the same model, fine-tuned to chat. Every name and fact is made up. Made by
`python -m lorepack.world.make`; all figures below by `python -m benchmarks.world_card`, on
weights of the fingerprints `{figures["fingerprints"]["world"]}` (`world`) and
`{figures["fingerprints"]["world-base"]}` (`world-base`).

## What `world` knows of the world's {total:,} facts

10 prompts of 4 shots, one greedy and 16 sampled answers each (preset `recommended`).

| category | facts | share |
|---|---|---|
{known}

| measured on `world` | |
|---|---|
| refusals among the answers to Unknown facts | {share(figures["unknown_refused"])} |
| reading an unseen passage, contained match | {share(figures["reading"])} |
| multiple choice, chance {choice["chance"]:.1%} | {share(choice)} |
| truthfulness, chance {truth["chance"]:.1%} | {share(truth)} |
| two-hop questions, greedy | {share(figures["two_hop"])} |
| comparisons, greedy (two answers possible) | {share(figures["comparison"])} |
| answers in the chat form, `world` | {share(figures["chat_form"]["world"])} |
| answers in the chat form, `world-base` | {share(figures["chat_form"]["world-base"])} |

These models know nothing of the real world and are of no use but to show and test Lorepack.
"""


def main() -> int:
    """Measure, print one JSON line, and write the card when all facts were measured."""
    parser = argparse.ArgumentParser("python -m benchmarks.world_card", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("world-card"), help="probe's folder")
    parser.add_argument("--limit", type=int, help="only so many facts; no card is written")
    parser.add_argument("--json", action="store_true", help="accepted; JSON is always printed")
    given = parser.parse_args()
    figures = measure(given.out, given.limit)
    if given.limit is None:
        for name in world.NAMES:
            files.write_text(world.model_path(name) / "README.md", card(figures))
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
