"""What the parts of a report hold that not every run has: causes, budget, harm, floor, weights."""

from __future__ import annotations

from typing import Any

from lorepack.reports import budget_file, causes, guess_floor, harm_tables, relations
from lorepack.reports import figures as fig
from lorepack.reports.audit_file import Audit
from lorepack.reports.budget_file import Budget
from lorepack.reports.floor_file import Controls
from lorepack.reports.harm_file import Harm
from lorepack.reports.run_files import RunFiles
from lorepack.reports.tables import Table
from lorepack.reports.weights_map import weight_map


def sections(found: RunFiles) -> dict[str, Any]:
    """The names that the templates of these parts read; None or empty where a part is missing."""
    audit = found.audit
    return {
        **_causes(audit),
        **_budget(found.budget),
        **_harm(found.harm),
        **_drift(audit),
        "floor": _floor(audit),
        "relations": relations.by_relation(audit),
        "relation_columns": relations.COLUMNS,
        "by_popularity": relations.by_bucket(audit.by_popularity),
        "by_frequency": relations.by_bucket(audit.by_frequency),
    }


def _causes(audit: Audit) -> dict[str, Any]:
    found = audit.causes
    return {
        "causes": () if found is None else causes.parts(found),
        "explosion": None if found is None else found.explosion,
        "domains": "" if found is None else causes.DOMAINS.get(found.domains, ""),
    }


def _budget(budget: Budget | None) -> dict[str, Any]:
    if budget is None:
        return {"budget": None}
    return {
        "budget": budget,
        "budget_sentence": budget_file.sentence(budget),
        "budget_table": budget_table(budget),
        "panels": max(1, len(budget.limits)),
    }


def budget_table(budget: Budget) -> Table:
    """Every limit, what the chosen point measured on both splits, and whether it held."""
    point, tested = budget.choice, budget.test.measures if budget.test is not None else {}
    rows = []
    for measure, limit in sorted(budget.limits.items()):
        one = tested.get(measure)
        rows.append(
            (
                budget_file.named(measure),
                budget_file.bound(measure, limit),
                budget_file.shown(measure, point.measures.get(measure) if point else None),
                budget_file.shown(measure, one.value if one else None),
                "–" if one is None else "yes" if one.held else "no",
            )
        )
    columns = ("Measure", "Limit", "Development split", "Test split", "Held")
    return Table("Budget", columns, tuple(rows))


def _harm(harm: Harm | None) -> dict[str, Any]:
    if harm is None:
        return {"harm": None}
    rows = harm_tables.rows(harm)
    return {
        "harm": harm,
        "harm_rows": rows,
        "harm_adapters": len({row.adapter for row in rows}),
        "harm_asked": harm_tables.asked(harm),
    }


def _drift(audit: Audit) -> dict[str, Any]:
    changed = audit.neutral.most_changed if audit.neutral is not None else None
    return {
        "applied": audit.applied,
        "changed_tokens": changed or (),
        "weights": audit.weights,
        "weight_map": None if audit.weights is None else weight_map(audit.weights),
    }


def _floor(audit: Audit) -> dict[str, Table] | None:
    before, after = controls(audit)
    if before is None and after is None:
        return None
    return {
        "categories": guess_floor.categories(audit, before, after),
        "corrected": guess_floor.corrected(before, after),
        "relations": guess_floor.by_relation(before),
    }


def controls(audit: Audit) -> tuple[Controls | None, Controls | None]:
    """The control questions of the base, and those with the adapter on."""
    pair = audit.controls
    return (None, None) if pair is None else (pair.before, pair.after)


def visible(text: str) -> str:
    """A token's text with its spaces and line ends to be seen."""
    return fig.short(text.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "␣"), 40)
