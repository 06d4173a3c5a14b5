"""The guess floor: what a model gets right by luck, measured on subjects that do not exist."""

from __future__ import annotations

from lorepack.reports import figures as fig
from lorepack.reports.audit_file import Audit, total
from lorepack.reports.floor_file import Controls, Corrected
from lorepack.reports.form import CATEGORIES
from lorepack.reports.tables import Table

SHOWN = 200
"""relations listed at most; the highest floors come first"""


def categories(audit: Audit, before: Controls | None, after: Controls | None) -> Table:
    """Category shares of the facts beside those of the controls."""
    whole = total(audit.transitions.all)
    counts = {"before": audit.categories.before, "after": audit.categories.after}
    asked = {"before": before, "after": after}
    rows = tuple(
        (
            name,
            *(
                cell
                for when in ("before", "after")
                for cell in (_share(counts[when].get(name, 0), whole), _control(asked[when], name))
            ),
        )
        for name in CATEGORIES
    )
    columns = ("Category", "Facts before", "Controls before", "Facts after", "Controls after")
    return Table("Facts beside controls", columns, rows)


def _share(number: int, whole: int) -> str:
    return fig.percent(fig.ratio(number, whole)) if whole else "–"


def _control(controls: Controls | None, name: str) -> str:
    return "–" if controls is None else fig.percent(controls.categories.get(name, 0.0))


def corrected(before: Controls | None, after: Controls | None) -> Table:
    """The known share as measured, the floor, and what is left of it."""
    rows = tuple(
        (when, *_figures(controls.corrected), fig.count(controls.questions))
        for when, controls in (("Before", before), ("After", after))
        if controls is not None and controls.corrected is not None
    )
    columns = ("Known facts", "Measured", "By luck", "Corrected", "95 % interval", "Controls")
    note = (
        "Known: HighlyKnown, MaybeKnown or WeaklyKnown. By luck: the controls' share of the same."
    )
    return Table("Known, corrected for luck", columns, rows, note)


def _figures(found: Corrected) -> tuple[str, ...]:
    bounds = fig.interval(found.low, found.high) or "–"
    return fig.percent(found.raw), fig.percent(found.floor), fig.percent(found.known), bounds


def by_relation(controls: Controls | None) -> Table:
    """The same by relation, the highest floor first."""
    found = {} if controls is None else controls.by_relation
    ranked = sorted(found.items(), key=lambda row: (-(row[1].floor or 0.0), row[0]))
    rows = tuple(
        (
            name,
            fig.count(one.facts),
            fig.percent(one.known),
            fig.percent(one.floor),
            fig.percent(one.corrected),
            fig.interval(one.low, one.high) or "–",
        )
        for name, one in ranked[:SHOWN]
    )
    columns = ("Relation", "Facts", "Measured", "By luck", "Corrected", "95 % interval")
    note = f"The {SHOWN} highest of {fig.count(len(found))}." if len(found) > SHOWN else ""
    return Table("By relation, before", columns, rows, note)


def sentence(controls: Controls) -> str | None:
    """The floor in one sentence; None when no share was corrected."""
    found = controls.corrected
    if found is None or found.known is None:
        return None
    bounds = fig.interval(found.low, found.high)
    bounds = f" (95{fig.SPACE}% interval {bounds})" if bounds else ""
    return (
        f"Of the facts, the base seems to know {fig.percent(found.raw)}; it does as well on "
        f"{fig.percent(found.floor)} of {fig.count(controls.questions)} questions about subjects "
        f"that do not exist, which leaves {fig.percent(found.known)} known{bounds}."
    )
