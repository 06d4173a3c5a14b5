"""How a finished run looks on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lorepack.cli.console import table

if TYPE_CHECKING:
    from lorepack.packing import PackResult


def show_run(result: PackResult) -> None:
    """Print the figures of a run, its notes, and where its files are."""
    share = lambda x: "not measured" if x is None else f"{x:.1%}"  # noqa: E731
    kl = "not measured" if result.neutral_kl is None else f"{result.neutral_kl:.4f} nats a token"
    before = [(name, n, f"{n / result.facts:.1%}") for name, n in result.categories.items()]
    table(f"{result.facts:,} facts before training", ["category", "facts", "share"], before)
    rows = [
        ("Unknown facts trained", f"{result.unknown_trained:,}"),
        ("reliability", share(result.reliability)),
        ("generality (unseen wordings)", share(result.generality)),
        ("positive shift, all facts", share(result.positive_shift)),
        ("negative shift, all facts", share(result.negative_shift)),
        ("positive spill-over, untrained", share(result.spillover_positive)),
        ("negative spill-over, untrained", share(result.spillover_negative)),
        ("KL to the base, neutral text", kl),
        ("refused answers before", f"{result.refusals_before:,}"),
        ("refused answers after", f"{result.refusals_after:,}"),
    ]
    table("What was learned, and what it cost", ["figure", "value"], rows)
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"adapter: {result.adapter}\nreport:  {result.report}\n{result.seconds:.0f} s")
