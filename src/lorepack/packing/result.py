"""What a finished run says, with the names that other tools rely on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from lorepack.auditing import AuditResult


@dataclass(frozen=True)
class PackResult:
    """The figures of one run; shares lie in 0..1, KL is in nats a token.

    ``positive_shift`` and ``negative_shift`` are over all facts, the spill-overs over the facts
    that were not in the mix (neither trained nor rehearsed). What was not measured is None.
    """

    facts: int
    categories: dict[str, int]
    unknown_trained: int
    reliability: float | None
    generality: float | None
    positive_shift: float
    negative_shift: float
    spillover_positive: float | None
    spillover_negative: float | None
    neutral_kl: float | None
    refusals_before: int
    refusals_after: int
    seconds: float
    report: Path
    adapter: Path
    notes: tuple[str, ...] = field(default=(), compare=False)
    budget: dict[str, Any] | None = None
    """limits, the chosen point and the verdict on the test part; None without a budget"""

    @property
    def held(self) -> bool | None:
        """Whether the budget was held on the test part; None without one."""
        return None if self.budget is None else bool(self.budget["held"])

    @classmethod
    def of(
        cls,
        audit: AuditResult,
        *,
        seconds: float,
        report: Path,
        adapter: Path,
        notes: list[str],
        budget: Mapping[str, Any] | None = None,
    ) -> PackResult:
        """The result of a run from its audit."""
        return cls(
            facts=audit.facts,
            categories=dict(audit.categories),
            unknown_trained=audit.unknown_trained,
            reliability=audit.reliability,
            generality=audit.generality,
            positive_shift=audit.positive_shift,
            negative_shift=audit.negative_shift,
            spillover_positive=audit.spillover_positive,
            spillover_negative=audit.spillover_negative,
            neutral_kl=audit.neutral_kl,
            refusals_before=audit.refusals_before,
            refusals_after=audit.refusals_after,
            seconds=round(seconds, 1),
            report=report,
            adapter=adapter,
            notes=tuple(dict.fromkeys(notes)),
            budget=None if budget is None else told_of(budget),
        )

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object."""
        paths = {"report": str(self.report), "adapter": str(self.adapter)}
        return {**asdict(self), **paths, "notes": list(self.notes)}

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        rows = "".join(
            f"<tr><th align='left'>{escape(key)}</th><td>{escape(_show(value))}</td></tr>"
            for key, value in self.to_json().items()
            if key != "notes"
        )
        return f"<table>{rows}</table>"


def told_of(budget: Mapping[str, Any]) -> dict[str, Any]:
    """What a result says of ``budget.json``: limits, the chosen point, the test, the verdict."""
    point = budget["points"][budget["chosen"]]
    names = ("checkpoint", "strength", "layers")
    return {
        "limits": budget["limits"],
        "chosen": {name: point[name] for name in names},
        "test": budget["test"],
        "held": budget["held"],
    }


def _show(value: object) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, dict):
        if all(isinstance(count, int) for count in value.values()):
            return ", ".join(f"{name} {count:,}" for name, count in value.items())
        return ", ".join(f"{name} {_show(part)}" for name, part in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
