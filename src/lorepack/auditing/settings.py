"""How an audit counts; what is asked is decided by the probe before."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from lorepack.auditing.answers import CollapseTest
from lorepack.auditing.domains import Domains


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Settings of an audit."""

    resamples: int = 2000
    """of the bootstrap"""
    level: float = 0.95
    """of the intervals"""
    seed: int = 0
    """of the resamples"""
    window: int = 512
    """most tokens in a window of neutral text"""
    worst: int = 50
    """losses that are listed"""
    collapse: CollapseTest = field(default_factory=CollapseTest)
    domains: Domains | None = None
    """domains of relations, `Domains.read`; None takes the facts' own"""
    weights: bool = True
    """whether norms and intruder dimensions of the adapter are measured"""
    paper: bool = False
    """whether the published analysis is made too, see `paper_mode`"""

    @property
    def bootstrap(self) -> dict[str, Any]:
        """Options of `bootstrap`."""
        return {"seed": self.seed, "resamples": self.resamples, "level": self.level}

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON object; of a map of domains, its hash."""
        row = asdict(self)
        row["domains"] = None if self.domains is None else self.domains.to_json()
        return row
