"""Asking facts through few-shot prompts: token ids in, answers out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorepack import llm
from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.llm import ANSWER, QUESTION, LanguageModel, Turn
from lorepack.probing.prompts import Prompts, choose, form
from lorepack.probing.settings import ProbeSettings
from lorepack.text import Matcher

Generate = Callable[..., list[list[str]]]
"""an engine with the arguments of `lorepack.llm.generate`"""
Progress = Callable[[int, int], None]
"""called as ``progress(done, total)``; the unit is one question behind one prompt"""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model answered to some facts, in their order.

    ``greedy[fact][prompt]`` is None where question and exemplars did not fit the context;
    ``sampled[fact][prompt]`` is empty there, and everywhere when no samples were asked for.
    """

    ids: list[str]
    greedy: list[list[str | None]]
    sampled: list[list[list[str]]]

    def __len__(self) -> int:
        return len(self.ids)


def choose_for(
    facts: Sequence[Fact], pool: Sequence[Fact] | None, settings: ProbeSettings
) -> Prompts:
    """The prompts for asking ``facts``, exemplars from ``pool`` or, without one, from ``facts``."""
    if pool is None or pool is facts:
        return choose(facts, settings)
    known = {fact.id for fact in facts} | {form(fact.question) for fact in facts}
    apart = not any(fact.id in known or form(fact.question) in known for fact in pool)
    return choose(pool, settings, apart)


def collect(
    lm: LanguageModel,
    facts: Sequence[Fact],
    prompts: Prompts,
    settings: ProbeSettings,
    generate: Generate | None = None,
    progress: Progress | None = None,
) -> Answers:
    """Ask facts through every prompt, in one call: the exemplars are shared prefixes.

    Args:
        lm: the model, with or without an adapter attached.
        facts: what is asked.
        prompts: the exemplars.
        settings: samples, temperature, lengths, seed.
        generate: the engine; `lorepack.llm.generate` when None.
        progress: called with questions done and questions in all.

    Returns:
        The answers. Sampling depends on seed, fact id, prompt and sample alone, so that it is the
        same however the facts are cut into chunks.
    """
    total = len(facts) * len(prompts)
    greedy: list[list[str | None]] = [[None] * len(prompts) for _ in facts]
    sampled: list[list[list[str]]] = [[[] for _ in range(len(prompts))] for _ in facts]
    asked, ids = [], []
    for index in range(len(prompts)):
        for i, fact in enumerate(facts):
            row = _prompt_ids(lm, fact, prompts, index, settings)
            if len(row) + settings.max_new_tokens <= lm.context:
                asked.append((i, index))
                ids.append(row)
    if asked:
        texts = (generate or llm.generate)(
            lm,
            ids,
            keys=[f"{facts[i].id} {index}" for i, index in asked],
            progress=_within(progress, total - len(asked), total),
            **_decoding(settings),
        )
        for (i, index), found in zip(asked, texts, strict=True):
            greedy[i][index], sampled[i][index] = found[0], list(found[1:])
    if progress is not None:
        progress(total, total)
    return Answers([fact.id for fact in facts], greedy, sampled)


def ask(
    lm: LanguageModel,
    facts: Sequence[Fact],
    settings: ProbeSettings,
    *,
    prompts: Prompts | None = None,
    pool: Sequence[Fact] | None = None,
    generate: Generate | None = None,
    progress: Progress | None = None,
) -> NDArray[np.bool_]:
    """Which greedy answers are correct; nothing is written. Its mean is the reliability.

    Args:
        lm: the model as it is now, for example in the middle of a training.
        facts: what is asked.
        settings: of the probe; samples are not taken.
        prompts: the exemplars, such as ``ProbeResult.prompts``; chosen from ``pool`` when None.
        pool: where exemplars come from; give the probed facts to get the probe's own prompts.
        generate: the engine; `lorepack.llm.generate` when None.
        progress: called with questions done and questions in all.

    Returns:
        ``(facts, prompts)``, True where the answer matches under ``settings.rule``. What does not
        fit the context is False.

    Raises:
        InputError: no facts.
    """
    if not facts:
        raise InputError("no facts to ask")
    if prompts is None:
        prompts = choose_for(facts, pool, settings)
    correct = np.zeros((len(facts), len(prompts)), bool)
    done, total = 0, correct.size
    for start in range(0, len(facts), settings.chunk):
        part = facts[start : start + settings.chunk]
        inner = _within(progress, done, total)
        greedy_only = settings.override({"samples": 0})
        answers = collect(lm, part, prompts, greedy_only, generate, inner)
        correct[start : start + len(part)] = judge(part, answers.greedy, settings.rule)
        done += len(part) * len(prompts)
    return correct


def judge(
    facts: Sequence[Fact], greedy: Sequence[Sequence[str | None]], rule: str
) -> NDArray[np.bool_]:
    """``(facts, prompts)``: which answers are correct."""
    return np.array(
        [
            [text is not None and match(text) for text in row]
            for match, row in (
                (Matcher(fact.accepted, rule), row) for fact, row in zip(facts, greedy, strict=True)
            )
        ],
        bool,
    )


def _prompt_ids(
    lm: LanguageModel, fact: Fact, prompts: Prompts, index: int, settings: ProbeSettings
) -> list[int]:
    turns = tuple(
        Turn(QUESTION.format(q=shot.question), ANSWER.format(a=shot.answer))
        for shot in prompts.shots(fact, index)
    )
    return lm.chat.prompt_ids(QUESTION.format(q=fact.question), turns, settings.system)


def _decoding(settings: ProbeSettings) -> dict[str, Any]:
    if settings.samples == 0:
        return {"max_new_tokens": settings.max_new_tokens, "seed": settings.seed}
    return {
        "max_new_tokens": settings.max_new_tokens,
        "temperature": settings.temperature,
        "top_k": settings.top_k,
        "samples": settings.samples,
        "greedy": True,  # from the same prefill
        "seed": settings.seed,
    }


def _within(progress: Progress | None, base: int, total: int) -> Progress | None:
    """Progress of a part, told as progress of the whole."""
    return None if progress is None else lambda done, _: progress(base + done, total)
