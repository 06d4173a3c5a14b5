"""How an audit counts; what is asked is decided by the probe before."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from lorepack.auditing.answers import CollapseTest


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

    @property
    def bootstrap(self) -> dict[str, Any]:
        """Options of `bootstrap`."""
        return {"seed": self.seed, "resamples": self.resamples, "level": self.level}

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON object."""
        return asdict(self)
