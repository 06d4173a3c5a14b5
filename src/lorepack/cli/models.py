"""`lorepack models`: which models are at hand, and what they need."""

from __future__ import annotations

import click

from lorepack.cli.console import finish, json_option, table


@click.command("models")
@json_option
def command(as_json: bool) -> None:
    """List the embedded models and those in the local hub cache; any model folder works too."""
    from lorepack import llm

    found = llm.available()

    def show() -> None:
        rows = [
            (
                entry.name,
                entry.origin,
                entry.architecture,
                entry.parameters,
                entry.problem or ", ".join(f"{k} {v / 2**20:,.0f} MiB" for k, v in needs(entry)),
            )
            for entry in found
        ]
        table("Models at hand", ["name", "where", "architecture", "parameters", "needs"], rows)
        click.echo("Any other folder or hub id of safetensors works too: --model NAME")

    def needs(entry: llm.Available) -> list[tuple[str, int]]:
        return sorted(entry.memory.items())

    finish({"models": [entry.to_dict() for entry in found]}, as_json, show)
