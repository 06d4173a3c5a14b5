"""`lorepack paraphrase`: further wordings of questions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lorepack.cli.console import finish, json_option, progress, table
from lorepack.cli.writing import (
    PATH,
    asked_line,
    make_writer,
    rejected_rows,
    require_replies,
    writer_options,
)

if TYPE_CHECKING:
    from lorepack.synthesis import ParaphraseReport


@click.command("paraphrase")
@click.argument("facts")
@click.option("-n", "n", default=10, show_default=True, type=click.IntRange(min=1), help="of each")
@click.option("--out", required=True, metavar="FILE", help=".jsonl, .csv or .parquet")
@writer_options
@click.option("--prompts", type=PATH, metavar="DIR", help="prompts that replace the shipped ones")
@click.option("--cache", type=PATH, metavar="FILE", help="of replies  [OUT.replies.sqlite]")
@click.option("--rejected", metavar="FILE", help="what was turned away  [OUT.rejected.jsonl]")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="most facts")
@click.option("--seed", type=click.IntRange(min=0), help="of what is drawn  [default: 0]")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="any other setting")
@json_option
def command(
    facts: str,
    n: int,
    out: str,
    written_by: dict[str, Any],
    prompts: Path | None,
    cache: Path | None,
    rejected: str | None,
    limit: int | None,
    seed: int | None,
    sets: tuple[str, ...],
    as_json: bool,
) -> None:
    """Give each of FACTS up to N other wordings of its question.

    A wording must keep names and numbers and not tell the answer; what it had before stays. The
    same command goes on where a stopped one was, and asks nothing twice.
    """
    from lorepack import facts as room
    from lorepack import synthesis

    options = {"limit": limit, "seed": seed}
    told: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    settings = synthesis.ParaphraseSettings(**told).override(sets)
    with progress(as_json) as show:
        report = synthesis.paraphrase(
            room.read(facts),
            out,
            n,
            make_writer(**written_by),
            settings=settings,
            prompts=synthesis.Prompts(prompts),
            cache=cache,
            rejected=rejected,
            progress=show,
        )
    finish(report.to_json(), as_json, lambda: _show(report, n))
    require_replies(report.failed, report.rejected_out)


def _show(report: ParaphraseReport, n: int) -> None:
    rows = [
        ("new wordings", report.wordings),
        ("wordings that were there", report.existing),
        (f"facts with fewer than {n}", report.short),
        *rejected_rows(report.rejected),
    ]
    table(f"{report.facts:,} facts", ["", "number"], rows)
    click.echo(f"{asked_line(report)}\nwritten: {report.out}")
    if report.rejected:
        click.echo(f"rejected: {report.rejected_out}")
