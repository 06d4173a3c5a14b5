"""What an audit found, loaded from its folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lorepack.auditing.causes import LABELS, SIDES
from lorepack.auditing.stored import damaged
from lorepack.errors import InputError, NotFoundError, suggest
from lorepack.files import MANIFEST, read_json, timing_of
from lorepack.probing import CATEGORIES, ProbeResult

UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Causes:
    """The ``causes`` part of ``audit.json`` as a table."""

    document: dict[str, Any] = field(repr=False)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row a direction and cause: ``count``, ``share`` of the shifts, ``chance`` with
        ``low`` and ``high``, and ``p``."""
        return [
            {"direction": side, "cause": label, **self.document[side]["labels"][label]}
            for side, labels in SIDES.items()
            for label in labels
        ]

    def _repr_html_(self) -> str:
        """A small table, for notebooks."""
        caption = ", ".join(
            f"{self.document[side]['shifts']:,} {side} shifts "
            f"({self.document[side]['unexplained']:,} unexplained)"
            for side in SIDES
        )
        head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
        rows = "".join(
            f"<tr><td>{row['direction']}</td><td>{row['cause'].replace('_', ' ')}</td>"
            f"<td>{row['count']:,}</td><td>{row['share']:.1%}</td><td>{row['chance']:.1%} "
            f"({row['low']:.1%}–{row['high']:.1%})</td><td>{row['p']:.2g}</td></tr>"
            for row in self.rows
        )
        return f"<table><caption>{caption}</caption><tr>{head}</tr>{rows}</table>"


_COLUMNS = ("direction", "cause", "facts", "share", "by chance (95 %)", "p")


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
            InputError: ``audit.json`` is damaged.
        """
        folder = Path(folder)
        if not (folder / MANIFEST).is_file() or not (folder / "audit.json").is_file():
            raise NotFoundError(f"{folder}: no finished audit; run `lorepack audit`")
        try:
            return cls._of(folder, read_json(folder / "audit.json"))
        except (InputError, KeyError, TypeError) as error:
            raise damaged(folder / "audit.json", "lorepack audit", error) from error

    @classmethod
    def _of(cls, folder: Path, found: dict[str, Any]) -> AuditResult:
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
    def causes(self) -> Causes:
        """Why facts shifted that were not in the mix, each cause beside its rate by chance.

        Raises:
            NotFoundError: the audit was made before causes were looked for.
        """
        if self.document.get("causes") is None:
            raise NotFoundError(f"{self.out}: audited without causes; run `lorepack audit` again")
        return Causes(self.document["causes"])

    def shifted(self, cause: str | None = None) -> list[dict[str, Any]]:
        """The shifted facts that were not in the mix, in their order, from ``causes.parquet``.

        Args:
            cause: only those with this cause; ``"unexplained"``: those with none.

        Returns:
            Rows of ``id, direction, before, after, causes, answer_before, answer_after``.

        Raises:
            InputError: there is no such cause, or the file is not whole.
        """
        if cause is not None and cause not in (*LABELS, UNEXPLAINED):
            raise InputError(f"no cause {cause!r}{suggest(cause, (*LABELS, UNEXPLAINED))}")
        path = self.out / "causes.parquet"
        try:
            rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise damaged(path, "lorepack audit", error) from error
        return [row for row in rows if cause is None or cause in (row["causes"] or [UNEXPLAINED])]

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
