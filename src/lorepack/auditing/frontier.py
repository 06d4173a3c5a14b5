"""Many adapters on the same questions and texts in one pass: what each knows, what each cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lorepack import llm
from lorepack.errors import NumericError
from lorepack.facts import Fact
from lorepack.llm import LanguageModel
from lorepack.llm.score import text_windows
from lorepack.lora import Stack
from lorepack.probing import Answers, ProbeSettings, Prompts, judge
from lorepack.probing.asking import collect
from lorepack.text import is_refusal

Progress = Callable[[int, int], None]
"""called as ``progress(done, total)``"""
_LOGITS = 2**24  # made at once: 64 MiB in fp32
_ROWS = 4096  # questions × adapters of one call: bounds the prompts held


@dataclass(frozen=True)
class Drift:
    """What an adapter changed on neutral text; errors are standard errors, over texts."""

    kl: float
    """KL(base ‖ adapted), nats a token"""
    kl_error: float
    perplexity: float
    """after divided by before"""
    perplexity_error: float


@dataclass(frozen=True, slots=True)
class Asked:
    """What one adapter answered to some facts, greedily."""

    correct: NDArray[np.bool_]
    """``(facts, prompts)``"""
    refused: NDArray[np.bool_]
    """``(facts, prompts)``"""


def ask_each(
    lm: LanguageModel,
    stack: Stack,
    facts: Sequence[Fact],
    prompts: Prompts,
    settings: ProbeSettings,
    progress: Progress | None = None,
) -> list[Asked]:
    """Ask every adapter of a stack the same facts.

    Args:
        lm: the base.
        stack: attached, nothing switched on.
        facts: what is asked.
        prompts: the exemplars, shared by all.
        settings: of the probe; samples are not taken.
        progress: called with answers got and answers in all.

    Returns:
        One an adapter, in the order of the stack. A question that does not fit the context counts
        as not correct.
    """
    greedy_only, adapters = settings.override({"samples": 0}), range(len(stack))
    size = max(1, min(settings.chunk, _ROWS // len(stack)))
    total = len(facts) * len(prompts) * len(stack)
    parts: list[list[Asked]] = []
    for start in range(0, len(facts), size):
        part = facts[start : start + size]
        # One call answers a question once an adapter: the first is kept as the greedy answer, the
        # others where the samples would be.
        found = collect(lm, part, prompts, greedy_only, _answered_by_each(stack))
        parts.append([_judged(part, found, a, settings.rule) for a in adapters])
        if progress is not None:
            progress(min(start + size, len(facts)) * len(prompts) * len(stack), total)
    return [
        Asked(*(np.concatenate([getattr(p[a], name) for p in parts]) for name in Asked.__slots__))
        if parts
        else Asked(*np.zeros((2, 0, len(prompts)), bool))
        for a in adapters
    ]


def _answered_by_each(stack: Stack) -> Callable[..., list[list[str]]]:
    def generate(
        lm: LanguageModel, prompts: Sequence[Sequence[int]], *, max_new_tokens: int, **_: Any
    ) -> list[list[str]]:
        adapters = range(len(stack))
        texts = llm.generate(
            lm,
            [prompt for prompt in prompts for _ in adapters],
            max_new_tokens=max_new_tokens,
            stack=stack,
            adapters=[a for _ in prompts for a in adapters],
        )
        width = len(stack)
        return [
            [text for (text,) in texts[row : row + width]] for row in range(0, len(texts), width)
        ]

    return generate


def _judged(facts: Sequence[Fact], found: Answers, adapter: int, rule: str) -> Asked:
    greedy = (
        found.greedy
        if adapter == 0
        else [[texts[adapter - 1] if texts else None for texts in row] for row in found.sampled]
    )
    refused = [[text is not None and is_refusal(text) for text in row] for row in greedy]
    return Asked(judge(facts, greedy, rule), np.array(refused, bool))


@torch.inference_mode()
def drift_each(
    lm: LanguageModel,
    stack: Stack,
    texts: Sequence[str],
    *,
    window: int = 512,
    progress: Progress | None = None,
) -> list[Drift]:
    """KL to the base and perplexity of every adapter of a stack on the same texts.

    The base's log-probabilities are computed once. Windows are those of `neutral_drift`, whose
    figures these are, but for rounding.

    Args:
        lm: the base.
        stack: attached, nothing switched on.
        texts: running text that was not trained on, with something to predict.
        window: most tokens in a window; longer texts are cut.
        progress: called with windows done and windows in all.

    Raises:
        NumericError: predictions are NaN.
    """
    windows = [
        (number, ids)
        for number, text in enumerate(texts)
        for ids in text_windows(lm, [text], window)
    ]
    assert windows, "texts have something to predict"
    sums = np.zeros((len(stack), 2, len(texts)))  # KL, loss after - loss before; nats, by text
    tokens = np.zeros(len(texts))
    before = done = 0.0
    for batch in _batches(lm, windows):
        ids = _padded(lm, [w for _, w in batch])
        inside = _inside([len(w) for _, w in batch], ids)
        base = _logprobs(lm, stack, None, ids)  # (W, T - 1, V)
        targets = ids[:, 1:, None]
        was = base.gather(-1, targets)[..., 0]
        for adapter in range(len(stack)):
            now = _logprobs(lm, stack, adapter, ids)
            ruled_out = torch.isneginf(base)
            kl = (base.exp() * (base - now).masked_fill(ruled_out, 0.0)).sum(-1)
            lost = was - now.gather(-1, targets)[..., 0]
            for row, (number, _) in enumerate(batch):
                keep = inside[row]
                sums[adapter, 0, number] += float(kl[row][keep].double().sum())
                sums[adapter, 1, number] += float(lost[row][keep].double().sum())
        for row, (number, _) in enumerate(batch):
            tokens[number] += int(inside[row].sum())
            before -= float(was[row][inside[row]].double().sum())
        done += len(batch)
        if progress is not None:
            progress(int(done), len(windows))
    if not (np.isfinite(sums).all() and math.isfinite(before)):
        raise NumericError(
            "neutral text: predictions are not finite; an adapter or the model holds NaN or "
            "infinity"
        )
    return [_drift(kl, lost, tokens) for kl, lost in sums]


def _drift(
    kl: NDArray[np.float64], lost: NDArray[np.float64], tokens: NDArray[np.float64]
) -> Drift:
    mean, error = _ratio(kl, tokens)
    change, change_error = _ratio(lost, tokens)
    perplexity = math.exp(min(change, 700.0))
    return Drift(mean, error, perplexity, perplexity * change_error)


def _ratio(sums: NDArray[np.float64], tokens: NDArray[np.float64]) -> tuple[float, float]:
    """Mean a token over texts of unlike length, and its standard error."""
    mean = float(sums.sum() / tokens.sum())
    used = tokens > 0
    n = int(used.sum())
    if n < 2:
        return mean, 0.0
    rest = (sums - mean * tokens)[used]
    return mean, float(math.sqrt(n / (n - 1) * np.square(rest).sum()) / tokens.sum())


def _batches(
    lm: LanguageModel, windows: Sequence[tuple[int, list[int]]]
) -> Iterator[list[tuple[int, list[int]]]]:
    """Windows of like length together, within what logits may take."""
    vocabulary = int(lm.model.config.get_text_config(decoder=True).vocab_size)
    batch: list[tuple[int, list[int]]] = []
    for one in sorted(windows, key=lambda w: (len(w[1]), w[0])):
        if batch and (len(batch) + 1) * len(one[1]) * vocabulary > _LOGITS:
            yield batch
            batch = []
        batch.append(one)
    yield batch


def _padded(lm: LanguageModel, windows: Sequence[Sequence[int]]) -> torch.Tensor:
    """``(W, T)``, padded on the right: causal attention keeps padding out of what is before it."""
    longest = max(map(len, windows))
    ids = torch.full((len(windows), longest), lm.chat.pad_id, device=lm.device)
    for row, window in enumerate(windows):
        ids[row, : len(window)] = torch.tensor(window, device=lm.device)
    return ids


def _inside(lengths: Sequence[int], ids: torch.Tensor) -> torch.Tensor:
    """``(W, T - 1)``: which predictions are of a window's own tokens."""
    places = torch.arange(1, ids.shape[1], device=ids.device)
    return places[None] < torch.tensor(lengths, device=ids.device)[:, None]


def _logprobs(
    lm: LanguageModel, stack: Stack, adapter: int | None, ids: torch.Tensor
) -> torch.Tensor:
    with stack.using(adapter):
        logits = lm.model(input_ids=ids, use_cache=False).logits[:, :-1]
    return torch.log_softmax(logits.float(), -1)
