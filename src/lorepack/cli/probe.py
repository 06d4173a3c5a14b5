"""`lorepack probe`: what does the model know of each fact?"""

from __future__ import annotations

from typing import Any

import click

from lorepack.cli.console import finish, json_option, progress, table
from lorepack.cli.options import facts_option, load_options, loading, model_option, probe_options


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
    preset: str,
    samples: int | None,
    seed: int,
    sets: tuple[str, ...],
    device: str,
    dtype: str,
    revision: str | None,
    trust_remote_code: bool,
    as_json: bool,
) -> None:
    """Sort facts into HighlyKnown, MaybeKnown, WeaklyKnown and Unknown."""
    import lorepack

    with progress(as_json) as show:
        result = lorepack.probe(
            model,
            facts,
            out,
            preset=preset,
            samples=samples,
            seed=seed,
            sets=sets,
            progress=show,
            **loading(device, dtype, revision, trust_remote_code),
        )
    row: dict[str, Any] = {
        "facts": result.facts,
        "categories": dict(result.counts),
        "refusals": result.refusals,
        "seconds": round(result.seconds, 1),
        "out": str(result.out),
    }

    def show_table() -> None:
        rows = [(name, n, f"{n / result.facts:.1%}") for name, n in result.counts.items()]
        table(f"{result.facts:,} facts", ["category", "facts", "share"], rows)
        click.echo(f"refused answers: {result.refusals:,}\nresults: {result.out}")

    finish(row, as_json, show_table)
