"""What an adapter changed where nothing was to change: KL and perplexity on neutral text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch

from lorepack.errors import NumericError
from lorepack.llm import LanguageModel
from lorepack.llm.score import text_windows, token_logprobs

Switch = Callable[[], AbstractContextManager[Any]]
"""puts the adapter on for a block; outside it the model is the base"""
Logprobs = Callable[[LanguageModel, Sequence[int]], torch.Tensor]
"""token ids (T,) -> log-probabilities (T - 1, V), as `lorepack.llm.score.token_logprobs`"""


def neutral_drift(
    lm: LanguageModel,
    adapter_on: Switch,
    texts: Sequence[str],
    *,
    window: int = 512,
    logprobs: Logprobs = token_logprobs,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any] | None:
    """KL(base ‖ adapted) and perplexity before and after, a window of text at a time.

    Args:
        lm: the base model.
        adapter_on: puts the adapter on.
        texts: running text that was not trained on.
        window: most tokens in a window; longer texts are cut.
        logprobs: the engine.
        progress: called with windows done and windows in all.

    Returns:
        ``kl`` in nats a token, ``perplexity_before``, ``perplexity_after`` and ``tokens``; None
        when the texts have nothing to predict. Distributions are fp32, sums fp64.

    Raises:
        NumericError: the adapted model's predictions are NaN.
    """
    windows = text_windows(lm, texts, window) if texts else []
    kl = loss_before = loss_after = 0.0
    tokens = 0
    for number, ids in enumerate(windows):
        base = logprobs(lm, ids)  # (T - 1, V)
        with adapter_on():
            adapted = logprobs(lm, ids)
        targets = torch.tensor(ids[1:], device=base.device)[:, None]
        kl += divergence(base, adapted)
        loss_before -= float(base.gather(-1, targets).double().sum())
        loss_after -= float(adapted.gather(-1, targets).double().sum())
        tokens += len(ids) - 1
        if not math.isfinite(kl + loss_before + loss_after):
            raise NumericError(
                f"neutral text, window {number}: predictions are not finite; "
                "the adapter or the model holds NaN or infinity"
            )
        if progress is not None:
            progress(number + 1, len(windows))
    if not tokens:
        return None
    return {
        "kl": kl / tokens,
        "perplexity_before": math.exp(min(loss_before / tokens, 700.0)),
        "perplexity_after": math.exp(min(loss_after / tokens, 700.0)),
        "tokens": tokens,
    }


def divergence(base: torch.Tensor, adapted: torch.Tensor) -> float:
    """Σ KL(base ‖ adapted) over positions, in nats.

    Args:
        base: ``(T, V)`` fp32 log-probabilities.
        adapted: ``(T, V)`` fp32 log-probabilities.
    """
    # Tokens that the base rules out (-inf) contribute nothing: 0 · log 0 = 0.
    ruled_out = torch.isneginf(base)
    terms = base.exp() * (base - adapted).masked_fill(ruled_out, 0.0)  # (T, V)
    return float(terms.sum(-1).double().sum())
