"""`lorepack models`: which models are at hand, and what they need."""

from __future__ import annotations

import click

from lorepack.cli.console import finish, json_option, table


@click.command("models")
@json_option
def command(as_json: bool) -> None:
    """List the embedded models and those in the local hub cache; any model folder works too."""
    from lorepack import llm

    found = [entry.to_json() for entry in llm.available()]

    def show() -> None:
        columns = ["name", "where", "parameters", "megabytes"]
        rows = [[entry.get(c) for c in columns] for entry in found]
        table("Models at hand", columns, rows)
        click.echo("Any other folder or hub id of safetensors works: --model NAME")

    finish({"models": found}, as_json, show)
