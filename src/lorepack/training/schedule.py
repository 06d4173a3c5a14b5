"""Learning rate by step."""

from __future__ import annotations

import math
from typing import Literal


def lr_at(
    step: int,
    *,
    total: int,
    peak: float,
    warmup: int = 0,
    kind: Literal["linear", "cosine", "constant"] = "linear",
) -> float:
    """The learning rate of one step.

    Args:
        step: from 0 to total - 1.
        total: steps of the whole job.
        peak: the rate after the warm-up.
        warmup: steps of linear rise from 0.
        kind: ``linear`` falls to 0 at ``total``; ``cosine`` falls to 0 along half a wave
            (Loshchilov and Hutter 2017, eq. 5, without restarts); ``constant`` stays.
    """
    if step < warmup:
        return peak * step / warmup
    if kind == "constant":
        return peak
    done = (step - warmup) / max(1, total - warmup)
    return peak * (1 - done) if kind == "linear" else peak * 0.5 * (1 + math.cos(math.pi * done))
