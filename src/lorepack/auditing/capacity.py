"""Measures what an adapter stores, with the model: `bits.json` of a folder, resumable."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lorepack import files
from lorepack.auditing import bits as estimator
from lorepack.auditing.bits import Measured, Size
from lorepack.auditing.values import Values
from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.llm import ANSWER, QUESTION, LanguageModel, generate_ids, score
from lorepack.lora import AdapterSpec, Stack
from lorepack.lora.site import Factors
from lorepack.text import answer_of

BITS, FACTS = "bits.json", "facts.jsonl"
_CHUNK = 5_000  # facts between two savings
_MARGIN = 4  # tokens that an answer may be longer than any trained one

Progress = Callable[[int, int], None]
Pair = tuple[list[int], list[int]]
"""token ids of a prompt and of what is answered"""


@dataclass(frozen=True)
class Probe:
    """Who is asked: an adapter of a stack that is attached to its base."""

    lm: LanguageModel
    stack: Stack
    adapter: int = 0

    @property
    def size(self) -> Size:
        """Of the adapter, as files hold it."""
        return size_of(*self.stack.plain(self.adapter))


def size_of(spec: AdapterSpec, factors: Factors) -> Size:
    """Parameters of an adapter, and those that its rank leaves free.

    Args:
        spec: of the adapter.
        factors: A (r, in) and B (out, r) of each target, DoRA's magnitudes (out,) behind them.
    """
    parameters = effective = 0
    for name, parts in factors.items():
        rank = spec.rank_of(name)
        width = parts[0].shape[1] + parts[1].shape[0]
        beside = sum(part.numel() for part in parts[2:])
        parameters += rank * width + beside
        effective += rank * (width - rank) + beside
    return Size(parameters, effective)


def measure(
    probe: Probe,
    facts: Sequence[Fact],
    values: Values,
    out: Path | str,
    *,
    inputs: str,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure an adapter, and write ``bits.json`` and ``facts.jsonl`` to a folder.

    Every fact is asked as it was trained, without examples before it, dropout off; log-softmax in
    fp32, sums in fp64. An answer ends where decoding ends it: at a stop id or the end of its line.

    Args:
        probe: the model and the adapter.
        facts: trained, at least one.
        values: the distribution of their values.
        out: folder; the same call goes on where it stopped.
        inputs: hash of all that decides the result.
        progress: called with questions asked and questions in all.

    Returns:
        The content of ``bits.json``.
    """
    out = Path(out)
    if not files.is_complete(out, inputs):
        files.make_room(out, inputs, lambda: "the bits of another adapter", overwrite=True)
        _write(_Asking(probe, out, inputs, progress), facts, values)
    return dict(files.read_json(out / BITS))


def _write(asking: _Asking, facts: Sequence[Fact], values: Values) -> None:
    fresh = values.fresh
    asking.total = 3 * (len(facts) + len(fresh))
    shuffled = [facts[number % len(facts)].answer for number in range(len(fresh))]
    found = Measured(
        trained=asking.nll("trained", facts),
        base=asking.nll("base", facts, base=True),
        fresh=asking.nll("fresh", fresh),
        wrong_key=asking.nll("wrong_key", fresh, shuffled),
    )
    told = asking.answers("told", facts)
    wrong = asking.answers("wrong", fresh)
    bits = estimator.bits(found, values.bits, values.known, asking.probe.size)
    recalled = [text == fact.answer for (text, _), fact in zip(told, facts, strict=True)]
    result = {
        "schema": 1,
        **bits.to_json(),
        "note": _note(values, bits),
        "false_recall": estimator.false_recall(
            [text for text, _ in wrong],
            [p for _, p in wrong],
            [values.well_formed(text) for text, _ in wrong],
        ),
        "recalled": {"share": sum(recalled) / len(recalled)},
        "fano_bits": _fano(sum(recalled) / len(recalled), len(facts), values),
    }
    stored = estimator.per_fact(found, values.bits)
    rows = (
        {"id": fact.id, "bits": float(each), "clipped": max(0.0, float(each)), "answer": text}
        for fact, each, (text, _) in zip(facts, stored, told, strict=True)
    )
    files.write_lines(asking.out / FACTS, (json.dumps(row, ensure_ascii=False) for row in rows))
    files.write_json(asking.out / BITS, result)
    files.write_manifest(asking.out, asking.inputs, [BITS, FACTS])
    asking.forget()


def _fano(accuracy: float, count: int, values: Values) -> float | None:
    return estimator.fano(accuracy, count, values.bits) if values.bits and values.known else None


def _note(values: Values, bits: estimator.Bits) -> str:
    if values.known and not bits.known_entropy:
        return "more bits than bf16 parameters have: the values have less entropy than was said"
    return values.note


class _Asking:
    """Asks in chunks, each kept as soon as it is there."""

    def __init__(self, probe: Probe, out: Path, inputs: str, progress: Progress | None) -> None:
        self.probe, self.out, self.inputs = probe, out, inputs
        self.progress, self.done, self.total = progress, 0, 0
        self.partial = out / "partial"

    def nll(
        self,
        name: str,
        facts: Sequence[Fact],
        answers: Sequence[str] | None = None,
        base: bool = False,
    ) -> np.ndarray:
        """Negative log-likelihood (N,) of each answer behind its question, nats, fp64."""

        def ask(span: slice) -> list[float]:
            texts = [fact.answer for fact in facts[span]] if answers is None else answers[span]
            lm = self.probe.lm
            pairs = [scored(lm, f.question, a) for f, a in zip(facts[span], texts, strict=True)]
            with self.probe.stack.using(None if base else self.probe.adapter):
                return [-value for value in score(lm, *_columns(pairs))]

        return np.array(self._chunks(name, len(facts), ask), dtype=np.float64)

    def answers(self, name: str, facts: Sequence[Fact]) -> list[tuple[str, float]]:
        """The greedy answer to each question, and its probability, its end included."""

        def ask(span: slice) -> list[tuple[str, float]]:
            with self.probe.stack.using(self.probe.adapter):
                return _greedy(self.probe.lm, facts[span])

        return [(text, p) for text, p in self._chunks(name, len(facts), ask)]

    def _chunks(self, name: str, count: int, ask: Callable[[slice], list[Any]]) -> list[Any]:
        found: list[Any] = []
        for span in _spans(count):
            path = self.partial / f"{name}-{span.start:09d}.json"
            kept = files.read_json(path) if path.is_file() else {}
            if kept.get("inputs") != self.inputs:
                kept = {"inputs": self.inputs, "rows": ask(span)}
                self.partial.mkdir(parents=True, exist_ok=True)
                files.write_json(path, kept)
            found += kept["rows"]
            self.done += span.stop - span.start
            if self.progress is not None:
                self.progress(self.done, self.total)
        return found

    def forget(self) -> None:
        """Remove the chunks: all is in the results."""
        for path in sorted(self.partial.glob("*.json")):
            path.unlink()
        if self.partial.is_dir():
            self.partial.rmdir()


def _spans(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK):
        yield slice(start, min(start + _CHUNK, count))


def _columns(pairs: Sequence[Pair]) -> tuple[list[list[int]], list[list[int]]]:
    return [prompt for prompt, _ in pairs], [answer for _, answer in pairs]


def scored(lm: LanguageModel, question: str, answer: str) -> Pair:
    """Prompt and answer as they are trained, the answer up to its end.

    What is trained behind the token at which decoding stops, such as an end of text behind the
    newline of a plain answer, is no part of the value.
    """
    ids, start = lm.chat.example_ids(QUESTION.format(q=question), ANSWER.format(a=answer))
    end = _end(lm, ids[start:])
    return ids[:start], ids[start:] if end is None else ids[start : start + end]


def _end(lm: LanguageModel, answer: Sequence[int]) -> int | None:
    """How many tokens an answer has up to the one at which decoding stops; None if it does not."""
    begun = np.zeros(1, bool)
    for place, token in enumerate(answer, 1):
        ended, begun = lm.chat.line_ends.step(np.array([token]), begun)
        if ended[0]:
            return place
    return None


def _greedy(lm: LanguageModel, facts: Sequence[Fact]) -> list[tuple[str, float]]:
    """What the model answers as it is now, and how probable it finds that, the end included."""
    pairs = [scored(lm, fact.question, fact.answer) for fact in facts]
    prompts, answers = _columns(pairs)
    most = max(map(len, answers)) + _MARGIN
    found = generate_ids(lm, prompts, max_new_tokens=most, overlong="skip")
    told = []
    for (ids,) in found:
        stopped = len(ids) < most and _end(lm, ids) is None  # by a stop id, which is left out
        told.append([*ids, lm.chat.end_id] if stopped and lm.chat.end_id is not None else ids)
    sums = score(lm, prompts, told)
    texts = [answer_of(lm.chat.decode(ids)) for (ids,) in found]
    return [(text, math.exp(total)) for text, total in zip(texts, sums, strict=True)]


def require_facts(facts: Sequence[Fact], where: str) -> None:
    """Refuse to measure nothing.

    Raises:
        InputError: no facts.
    """
    if not facts:
        raise InputError(f"{where}: no trained facts; expected at least one")
