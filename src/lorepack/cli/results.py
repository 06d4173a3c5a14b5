"""How a finished run looks on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from lorepack.cli.console import finish, table

if TYPE_CHECKING:
    from lorepack.packing import JobsResult, PackResult


def show_run(result: PackResult) -> None:
    """Print the summary of a run, its notes, and where its files are."""
    from lorepack import reports

    summary = reports.summary(result.report.parent)
    for sheet in summary.tables:
        table(sheet.title, sheet.columns, sheet.rows)
        if sheet.note:
            click.echo(sheet.note)
        click.echo()
    if result.budget is not None:
        show_budget(result.budget)
    click.echo(summary.sentence)
    for caution in (*summary.cautions, *result.notes):
        click.echo(f"note: {caution}")
    click.echo(f"adapter: {result.adapter}\nreport:  {result.report}\n{result.seconds:.0f} s")


def show_budget(budget: Mapping[str, Any]) -> None:
    """Print what a budget limits, on the test part, and which point was chosen."""
    point, judged = budget["chosen"], budget["test"]["measures"]
    rows = [
        [name, row["value"], row["limit"], "held" if row["held"] else "not held"]
        for name, row in judged.items()
    ]
    table("Budget, on the test part", ["measure", "value", "limit", ""], rows)
    strength = point["layers"] or f"{point['strength']:g}"
    click.echo(
        f"reliability {budget['test']['reliability']:.4g}; checkpoint {point['checkpoint']} at "
        f"strength {strength}\n"
    )


def end_budget(budget: Mapping[str, Any] | None) -> None:
    """End with 3, naming the limits that were not held, where a budget was not."""
    if budget is None or budget["held"]:
        return
    broken = [
        f"{name} is {row['value']:.4g}, limit {row['limit']:g}"
        for name, row in budget["test"]["measures"].items()
        if not row["held"]
    ]
    told = "; ".join(broken) or "no point held it on the development part"
    click.echo(f"lorepack: budget not held: {told}", err=True)
    sys.exit(3)


def end_jobs(result: JobsResult, as_json: bool) -> None:
    """Print what came of many jobs; end with 2, naming them, where some failed."""
    finish(result.to_json(), as_json, lambda: show_jobs(result))
    for name, error in result.failed.items():
        click.echo(f"lorepack: error: job {name} failed: {' '.join(error.split())}", err=True)
    if result.failed:
        sys.exit(2)


def show_jobs(result: JobsResult) -> None:
    """Print the table of many jobs, their notes, and where the summary is."""
    shown = ("examples", "steps", "recall", "evaluated", "reliability", "generality",
             "spillover_negative", "neutral_kl", "loss", "parameters")  # fmt: skip
    columns = [name for name in shown if any(name in row.figures for row in result.rows)]
    rows = [[row.name, *(row.figures.get(name) for name in columns)] for row in result.rows]
    table(f"{len(rows)} jobs", ["job", *columns], rows)
    for note in result.notes:
        click.echo(f"note: {note}")
    click.echo(f"summary: {result.summary}\n{result.seconds:.0f} s")
