"""The causes of shifts in ``audit.json``: how often each explains one, and how often luck would."""

from __future__ import annotations

from pydantic import Field

from lorepack.reports.form import Count, Part, Share

Exploded = tuple[str, Count, Count]
"""(answer, times after, times before)"""


class Cause(Part):
    """One cause on one side; ``chance``, ``low``, ``high`` and ``p`` by a permutation test."""

    count: Count
    share: Share | None = None
    chance: Share | None = None
    low: Share | None = None
    high: Share | None = None
    p: Share | None = None
    common: bool = False
    """whether it holds for nearly all facts, shifted or not, and so explains none"""

    @property
    def beyond_luck(self) -> bool:
        """Whether the share lies above what luck gives in 95 of 100 cases."""
        return self.share is not None and self.high is not None and self.share > self.high


class Side(Part):
    """The shifts of one direction, of facts that were not in the mix."""

    shifts: Count
    explained: Count
    unexplained: Count
    labels: dict[str, Cause] = Field(default_factory=dict)


class Explosion(Part):
    """When an answer counts as exploded, and which did."""

    rule: str = ""
    threshold: float | None = None
    answers: tuple[Exploded, ...] = ()


class Causes(Part):
    """Both directions, and where the domains of relations come from."""

    domains: str = "none"
    explosion: Explosion | None = None
    positive: Side
    negative: Side
