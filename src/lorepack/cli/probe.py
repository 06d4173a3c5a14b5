"""`lorepack probe`: what does the model know of each fact?"""

from __future__ import annotations

from typing import Any

import click

from lorepack.cli.console import finish, json_option, progress, table
from lorepack.cli.options import facts_option, load_options, model_option, probe_options


@click.command("probe")
@model_option
@facts_option
@click.option("--out", required=True, metavar="DIR", help="folder of the results")
@probe_options
@load_options
@json_option
def command(
    model: str,
    facts: str,
    out: str,
    probing: dict[str, Any],
    load: dict[str, Any],
    as_json: bool,
) -> None:
    """Sort facts into HighlyKnown, MaybeKnown, WeaklyKnown and Unknown."""
    import lorepack

    with progress(as_json) as show:
        result = lorepack.probe(
            model,
            facts,
            out,
            progress=show,
            **probing,
            **load,
        )
    row: dict[str, Any] = {
        "facts": result.facts,
        "categories": dict(result.counts),
        "refusals": result.refusals,
        "seconds": result.seconds and round(result.seconds, 1),
        "notes": list(result.notes),
        "out": str(result.out),
    }

    def show_table() -> None:
        rows = [(name, n, f"{n / result.facts:.1%}") for name, n in result.counts.items()]
        table(f"{result.facts:,} facts", ["category", "facts", "share"], rows)
        click.echo(f"refused answers: {result.refusals:,}\nresults: {result.out}")
        for note in result.notes:
            click.echo(f"note: {note}")

    finish(row, as_json, show_table)
