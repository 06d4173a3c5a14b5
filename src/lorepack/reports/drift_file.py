"""What the adapter changed in the model itself: tokens of neutral text, and its weights."""

from __future__ import annotations

from pydantic import Field

from lorepack.reports.form import Count, Part


class ChangedToken(Part):
    """A token before which the model's prediction moved; KL in nats, mean over its places."""

    token: str
    count: Count
    kl: float
    share: float
    """of the KL of the whole text"""


class Neutral(Part):
    """Drift on text that has nothing to do with the facts; KL in nats a token."""

    kl: float
    perplexity_before: float
    perplexity_after: float
    tokens: Count
    most_changed: tuple[ChangedToken, ...] | None = None


class Module(Part):
    """One module's change: Frobenius norm of ΔW, the same over that of W, intruder dimensions."""

    name: str
    layer: int | None = None
    kind: str = ""
    rank: Count = 0
    norm: float
    relative: float | None = None
    intruders: Count | None = None


class Weights(Part):
    """The change of every module that carries an adapter."""

    modules: tuple[Module, ...] = Field(default=())
    total_norm: float | None = None
    intruders: Count | None = None
    threshold: float | None = None
