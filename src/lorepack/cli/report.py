"""`lorepack report`: write a run's report and model card again."""

from __future__ import annotations

import click

from lorepack.cli.console import finish, json_option


@click.command("report")
@click.option("--run", required=True, metavar="RUN", help="folder of a run")
@json_option
def command(run: str, as_json: bool) -> None:
    """Write RUN/report.html and the adapter's README.md from the run's files."""
    from lorepack import reports

    card, page = reports.model_card(run), reports.report(run)
    row = {"report": str(page), "card": str(card)}
    finish(row, as_json, lambda: click.echo(f"report: {page}\ncard:   {card}"))
