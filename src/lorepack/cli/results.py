"""How a finished run looks on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lorepack.cli.console import table

if TYPE_CHECKING:
    from lorepack.packing import PackResult


def show_run(result: PackResult) -> None:
    """Print the summary of a run, its notes, and where its files are."""
    from lorepack import reports

    summary = reports.summary(result.report.parent)
    for sheet in summary.tables:
        table(sheet.title, sheet.columns, sheet.rows)
        if sheet.note:
            click.echo(sheet.note)
        click.echo()
    click.echo(summary.sentence)
    for caution in (*summary.cautions, *result.notes):
        click.echo(f"note: {caution}")
    click.echo(f"adapter: {result.adapter}\nreport:  {result.report}\n{result.seconds:.0f} s")
