"""`lorepack completion`: the script that lets a shell complete verbs and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from lorepack.cli.console import finish, json_option


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
def command(shell: str, as_json: bool) -> None:
    """Print the completion script of SHELL; add it to your shell's start file."""
    from lorepack.cli.main import cli

    completion = get_completion_class(shell)
    assert completion is not None
    script = completion(cli, {}, "lorepack", "_LOREPACK_COMPLETE").source()
    finish({"shell": shell, "script": script}, as_json, lambda: click.echo(script))
