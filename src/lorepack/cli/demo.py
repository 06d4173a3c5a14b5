"""`lorepack demo`: the whole job on the embedded world, in minutes."""

from __future__ import annotations

import click

from lorepack.cli.console import finish, json_option, progress
from lorepack.cli.results import show_run


@click.command("demo")
@click.option("--out", default="lorepack-demo", show_default=True, metavar="DIR")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@json_option
def command(out: str, seed: int, as_json: bool) -> None:
    """Probe, train and audit a sample of the made world's facts, greedy answers only."""
    import lorepack
    from lorepack.packing import demonstration

    click.echo(demonstration.describe(seed), err=as_json)
    with progress(as_json) as show:
        result = lorepack.demo(out, seed=seed, progress=show)
    finish(result.to_json(), as_json, lambda: show_run(result))
