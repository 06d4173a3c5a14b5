"""`lorepack probe`: what does the model know of each fact?"""

from __future__ import annotations

from typing import Any

import click

from lorepack.cli.console import finish, json_option, progress, table
from lorepack.cli.options import facts_option, load_options, model_option, probe_options

RELATIONS = 30


def show_floor(floor: dict[str, Any]) -> None:
    """What is known beside what would look known by luck, by relation."""
    found = floor["by_relation"]
    highest = sorted(found, key=lambda name: (-found[name]["floor"], name))[:RELATIONS]
    shown = [(name, found[name]) for name in highest]
    rows = [
        (name, one["facts"], f"{one['known']:.1%}", f"{one['floor']:.1%}",
         f"{one['corrected']:.1%} ({one['low']:.1%} – {one['high']:.1%})")
        for name, one in shown
    ]  # fmt: skip
    columns = ["relation", "facts", "known", "by luck", "known beyond luck (95 %)"]
    table(f"{len(found):,} relations, highest floors first", columns, rows)
    if len(found) > RELATIONS:
        click.echo(f"further relations: {len(found) - RELATIONS:,}, in probe.json")
    whole = floor["corrected"]
    click.echo(
        f"known: {whole['raw']:.1%}, by luck {whole['floor']:.1%}, beyond luck "
        f"{whole['known']:.1%} ({whole['low']:.1%} – {whole['high']:.1%}"
        f"{', clipped at 0' if whole['clipped'] else ''})"
    )


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
        "controls": result.controls,
        "seconds": result.seconds and round(result.seconds, 1),
        "notes": list(result.notes),
        "out": str(result.out),
    }

    def show_table() -> None:
        rows = [(name, n, f"{n / result.facts:.1%}") for name, n in result.counts.items()]
        floor = result.controls
        if floor is None or floor["corrected"] is None:
            table(f"{result.facts:,} facts", ["category", "facts", "share"], rows)
        else:
            by_luck = [(*row, f"{floor['categories'][row[0]]:.1%}") for row in rows]
            table(f"{result.facts:,} facts", ["category", "facts", "share", "controls"], by_luck)
            show_floor(floor)
        click.echo(f"refused answers: {result.refusals:,}\nresults: {result.out}")
        for note in result.notes:
            click.echo(f"note: {note}")

    finish(row, as_json, show_table)
