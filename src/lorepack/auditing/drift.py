"""What an adapter changed where nothing was to change: KL and perplexity on neutral text."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lorepack.errors import NumericError
from lorepack.llm import LanguageModel
from lorepack.llm.score import text_windows, token_logprobs
from lorepack.lora import Stack

Switch = Callable[[], AbstractContextManager[Any]]
"""puts the adapter on for a block; outside it the model is the base"""
Logprobs = Callable[[LanguageModel, Sequence[int]], torch.Tensor]
"""token ids (T,) -> log-probabilities (T - 1, V), as `lorepack.llm.score.token_logprobs`"""
MOST_CHANGED = 20
"""tokens that are listed"""
# Logits made at once, and held twice: what a processor's caches like, or what keeps a GPU busy.
_LOGITS = {"cpu": 2**22, "cuda": 2**26}


def neutral_drift(
    lm: LanguageModel,
    adapter_on: Switch,
    texts: Sequence[str],
    *,
    window: int = 512,
    logprobs: Logprobs = token_logprobs,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any] | None:
    """KL(base ‖ adapted) and perplexity before and after, windows of text in batches.

    Args:
        lm: the base model.
        adapter_on: puts the adapter on.
        texts: running text that was not trained on.
        window: most tokens in a window; longer texts are cut.
        logprobs: the engine; any other than the default is asked for one window at a time.
        progress: called with windows done and windows in all.

    Returns:
        ``kl`` in nats a token, ``perplexity_before``, ``perplexity_after``, ``tokens``, and
        ``most_changed``: the tokens of the text before which most of the KL lies, each with
        ``token, count, kl`` (mean nats) and ``share`` (of all KL). None when the texts have
        nothing to predict. Distributions are fp32, sums fp64.

    Raises:
        NumericError: the adapted model's predictions are NaN.
    """
    return _drifts(lm, [adapter_on], texts, window, logprobs, progress)[0]


def neutral_drifts(
    lm: LanguageModel,
    stack: Stack,
    indices: Sequence[int],
    texts: Sequence[str],
    *,
    window: int = 512,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any] | None]:
    """`neutral_drift` of several adapters in one pass: the base reads each window once.

    Args:
        lm: the base model.
        stack: holds the adapters; attached or not.
        indices: which adapters.
        texts: running text that was not trained on.
        window: most tokens in a window.
        progress: called with windows done and windows in all.

    Returns:
        One row an adapter, as `neutral_drift`.

    Raises:
        NumericError: an adapted model's predictions are NaN.
    """
    switches = [functools.partial(stack.using, index) for index in indices]
    with stack.attached(), stack.using(None):
        return _drifts(lm, switches, texts, window, token_logprobs, progress)


def _drifts(
    lm: LanguageModel,
    switches: Sequence[Switch],
    texts: Sequence[str],
    window: int,
    logprobs: Logprobs,
    progress: Callable[[int, int], None] | None,
) -> list[dict[str, Any] | None]:
    windows = text_windows(lm, texts, window) if texts else []
    if not windows:
        return [None] * len(switches)
    sums = [_Sums.of(len(windows)) for _ in switches]
    done = 0
    for batch in _batches(lm, windows, logprobs):
        ids = [windows[number] for number in batch]
        base = _predictions(lm, ids, logprobs)
        for switch, own in zip(switches, sums, strict=True):
            with switch():
                adapted = _predictions(lm, ids, logprobs)
            for number, row, before, after in zip(batch, ids, base, adapted, strict=True):
                own.add(number, row, before, after)
        done += len(batch)
        if progress is not None:
            progress(done, len(windows))
    return [own.row(lm) for own in sums]


def _batches(
    lm: LanguageModel, windows: Sequence[Sequence[int]], logprobs: Logprobs
) -> Iterator[list[int]]:
    """Windows of like length, longest first; alone where the engine takes one at a time."""
    if logprobs is not token_logprobs:
        yield from ([number] for number in range(len(windows)))
        return
    vocabulary = int(lm.model.config.get_text_config(decoder=True).vocab_size)
    most = _LOGITS.get(lm.device.type, _LOGITS["cuda"])
    order = sorted(range(len(windows)), key=lambda number: (-len(windows[number]), number))
    while order:
        rows = max(1, most // (vocabulary * len(windows[order[0]])))
        yield order[:rows]
        order = order[rows:]


@torch.inference_mode()
def _predictions(
    lm: LanguageModel, windows: Sequence[Sequence[int]], logprobs: Logprobs
) -> list[torch.Tensor]:
    """Log-probabilities ``(T - 1, V)`` of each window."""
    if len(windows) == 1:
        return [logprobs(lm, windows[0])]
    longest = max(map(len, windows))
    ids = torch.full((len(windows), longest), lm.chat.pad_id, device=lm.device)
    for row, window in enumerate(windows):  # padding on the right is behind all that counts
        ids[row, : len(window)] = torch.tensor(list(window), device=lm.device)
    logits = lm.model(input_ids=ids, use_cache=False).logits  # (B, T, V)
    return [
        torch.log_softmax(row[: len(window) - 1].float(), -1)
        for row, window in zip(logits, windows, strict=True)
    ]


@dataclass
class _Sums:
    """Sums of one adapter: by window, so that no batch decides their order, and by token."""

    values: np.ndarray
    """``(windows, 3)``: KL, loss before, loss after, in nats"""
    tokens: dict[int, tuple[int, float]]
    """token -> how often the text goes on with it, and the KL there"""

    @classmethod
    def of(cls, windows: int) -> _Sums:
        return cls(np.zeros((windows, 3)), {})

    def add(
        self, number: int, ids: Sequence[int], base: torch.Tensor, adapted: torch.Tensor
    ) -> None:
        """Add a window of ``ids (T,)``, both predictions ``(T - 1, V)``."""
        targets = torch.tensor(list(ids[1:]), device=base.device)[:, None]
        kl = divergences(base, adapted)
        losses = [-float(p.gather(-1, targets).double().sum()) for p in (base, adapted)]
        self.values[number] = float(kl.sum()), *losses
        if not np.isfinite(self.values[number]).all():
            raise NumericError(
                f"neutral text, window {number}: predictions are not finite; "
                "the adapter or the model holds NaN or infinity"
            )
        for token, value in zip(ids[1:], kl.tolist(), strict=True):
            count, total = self.tokens.get(token, (0, 0.0))
            self.tokens[token] = count + 1, total + value

    def row(self, lm: LanguageModel) -> dict[str, Any] | None:
        """The figures; None without a token."""
        tokens = sum(count for count, _ in self.tokens.values())
        if not tokens:
            return None
        kl, before, after = (float(total) / tokens for total in self.values.sum(0))
        return {
            "kl": kl,
            "perplexity_before": math.exp(min(before, 700.0)),
            "perplexity_after": math.exp(min(after, 700.0)),
            "tokens": tokens,
            "most_changed": self._most_changed(lm),
        }

    def _most_changed(self, lm: LanguageModel) -> list[dict[str, Any]]:
        whole = sum(total for _, total in self.tokens.values())
        order = sorted(self.tokens, key=lambda token: (-self.tokens[token][1], token))
        rows = []
        for token in order[:MOST_CHANGED]:
            count, total = self.tokens[token]
            if total > 0 and whole > 0:
                text = lm.tokenizer.decode([token])
                share = total / whole
                rows.append({"token": text, "count": count, "kl": total / count, "share": share})
        return rows


def divergences(base: torch.Tensor, adapted: torch.Tensor) -> torch.Tensor:
    """KL(base ‖ adapted) at every position, in nats.

    Args:
        base: ``(T, V)`` fp32 log-probabilities.
        adapted: ``(T, V)`` fp32 log-probabilities.

    Returns:
        ``(T,)`` fp64.
    """
    # Tokens that the base rules out (-inf) contribute nothing: 0 · log 0 = 0.
    ruled_out = torch.isneginf(base)
    terms = base.exp() * (base - adapted).masked_fill(ruled_out, 0.0)  # (T, V)
    return terms.sum(-1).double()


def divergence(base: torch.Tensor, adapted: torch.Tensor) -> float:
    """Σ KL(base ‖ adapted) over positions, in nats; see `divergences`."""
    return float(divergences(base, adapted).sum())
