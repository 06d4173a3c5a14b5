"""`lorepack report`: write a run's report and model card again."""

from __future__ import annotations

from pathlib import Path

import click

from lorepack.cli.console import finish, json_option


@click.command("report")
@click.option("--run", required=True, metavar="RUN", help="folder of a run, a grid or many jobs")
@json_option
def command(run: str, as_json: bool) -> None:
    """Write RUN/report.html and the adapter's README.md from the run's files.

    Of a grid or many jobs, write their common RUN/summary.html.
    """
    from lorepack import reports

    if (Path(run) / "summary.json").is_file():
        page = reports.summary_page(run)
        return finish({"report": str(page)}, as_json, lambda: click.echo(f"report: {page}"))

    card, page = reports.model_card(run), reports.report(run)
    row = {"report": str(page), "card": str(card)}
    finish(row, as_json, lambda: click.echo(f"report: {page}\ncard:   {card}"))
    return None
