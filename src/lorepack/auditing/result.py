"""What an audit found, loaded from its folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from lorepack.errors import NotFoundError
from lorepack.files import MANIFEST, read_json, timing_of
from lorepack.probing import CATEGORIES, ProbeResult


@dataclass(frozen=True, eq=False)
class AuditResult:
    """The figures of one audit. Shares lie in 0..1, KL is in nats a token, None is not measured."""

    facts: int
    categories: dict[str, int]
    """facts a category, before"""
    categories_after: dict[str, int]
    trained: int
    unknown_trained: int
    """trained facts that were Unknown before"""
    reliability: float | None
    generality: float | None
    positive_shift: float
    """share of all facts"""
    negative_shift: float
    spillover_positive: float | None
    """share of the facts that were not in the mix"""
    spillover_negative: float | None
    neutral_kl: float | None
    refusals_before: int
    refusals_after: int
    collapsed: bool
    seconds: float | None
    """None when the timing was lost"""
    out: Path
    notes: tuple[str, ...] = ()
    document: dict[str, Any] = field(default_factory=dict, repr=False)
    """``audit.json``"""

    @classmethod
    def load(cls, folder: Path | str) -> AuditResult:
        """Load a finished audit.

        Raises:
            NotFoundError: no finished audit there.
        """
        folder = Path(folder)
        if not (folder / MANIFEST).is_file() or not (folder / "audit.json").is_file():
            raise NotFoundError(f"{folder}: no finished audit; run `lorepack audit`")
        found = read_json(folder / "audit.json")
        shifts = found["shifts"]
        return cls(
            facts=found["facts"],
            categories=_ordered(found["categories"]["before"]),
            categories_after=_ordered(found["categories"]["after"]),
            trained=found["trained"],
            unknown_trained=sum(found["transitions"]["trained"][CATEGORIES.index("Unknown")]),
            reliability=_of(found["reliability"], "mean"),
            generality=_of(found["generality"], "mean"),
            positive_shift=shifts["all"]["positive"]["of_all"],
            negative_shift=shifts["all"]["negative"]["of_all"],
            spillover_positive=shifts["untrained"]["positive"]["of_all"],
            spillover_negative=shifts["untrained"]["negative"]["of_all"],
            neutral_kl=_of(found["neutral"], "kl"),
            refusals_before=found["refusals"]["before"],
            refusals_after=found["refusals"]["after"],
            collapsed=found["answers"]["collapsed"],
            seconds=timing_of(folder, "audit").get("seconds"),
            out=folder,
            notes=tuple(found["notes"]),
            document=found,
        )

    @property
    def after(self) -> ProbeResult:
        """The probe with the adapter on."""
        return ProbeResult.load(self.out)

    def to_json(self) -> dict[str, Any]:
        """The figures as a JSON object."""
        names = [n for n in self.__dataclass_fields__ if n not in ("document", "out", "notes")]
        row = {name: getattr(self, name) for name in names}
        return {**row, "notes": list(self.notes), "out": str(self.out)}

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        head = f"<table><caption>audit of {self.facts:,} facts, {self.trained:,} trained</caption>"
        shown = self.to_json()
        for name in ("facts", "trained", "notes"):
            shown.pop(name)
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name.replace('_', ' '))}</th>"
            f"<td>{escape(_show(value))}</td></tr>"
            for name, value in shown.items()
        )
        return f"{head}{rows}</table>"


def _ordered(counts: dict[str, int]) -> dict[str, int]:
    """Best known first; the file has its keys sorted."""
    return {name: counts[name] for name in CATEGORIES}


def _of(part: dict[str, Any] | None, name: str) -> Any:
    return None if part is None else part[name]


def _show(value: Any) -> str:
    if value is None:
        return "not measured"
    if isinstance(value, dict):
        return ", ".join(f"{name} {n:,}" for name, n in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
