"""`lorepack facts`: make and check files of facts."""

from __future__ import annotations

import sys

import click

from lorepack.cli.console import finish, json_option, table


@click.group("facts")
def command() -> None:
    """Make and check files of facts."""


@command.command("check")
@click.argument("file")
@click.option("--rejected", metavar="FILE", help="write the rows that are set aside, with reasons")
@json_option
def check(file: str, rejected: str | None, as_json: bool) -> None:
    """List every schema error, duplicate, contradiction and risky answer of FILE.

    Ends with 2 when a row cannot be read, with 0 when there are warnings only.
    """
    from lorepack import facts

    report = facts.check(file)
    if rejected is not None:
        facts.write_rejected(report, rejected)

    def show() -> None:
        rows = [(kind, count) for kind, count in sorted(report.problems.items())]
        table(f"{file}: {report.facts:,} facts", ["problem", "rows"], rows or [("none", 0)])
        for line in report.lines():
            click.echo(line)

    finish(report.to_json(), as_json, show)
    if report.errors:
        sys.exit(2)


@command.command("make")
@click.argument("source", type=click.Choice(["world", "world-new"]))
@click.option("--size", type=click.IntRange(min=1), help="how many facts (world-new)")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))
@click.option("--out", required=True, metavar="FILE", help=".jsonl, .csv or .parquet")
@json_option
def make(source: str, size: int | None, seed: int, out: str, as_json: bool) -> None:
    """Write facts of the made world: its own, or new ones that no model has read of."""
    from lorepack import facts, world

    if source == "world-new" and size is None:
        raise click.UsageError("world-new needs --size N")
    made = world.facts() if source == "world" else world.new_facts(size or 0, seed)
    count = facts.write(out, made)
    finish({"facts": count, "out": out}, as_json, lambda: click.echo(f"{count:,} facts: {out}"))
