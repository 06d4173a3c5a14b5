"""`lorepack tune`: weaken an adapter until it keeps to a budget for harm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from lorepack.cli.console import finish, json_option, progress
from lorepack.cli.options import budget_option, load_options, probe_options
from lorepack.cli.results import end_budget, show_budget

if TYPE_CHECKING:
    from lorepack.packing import TuneResult


@click.command("tune")
@click.argument("source", metavar="ADAPTER|RUN")
@budget_option
@click.option("--out", required=True, metavar="DIR", help="folder of the results")
@click.option("--model", metavar="M", help="an adapter's base; a run knows its own")
@click.option("--facts", metavar="F", help="a file of facts, or: world; a run knows its own")
@probe_options
@load_options
@json_option
def command(
    source: str,
    budget: tuple[str, ...],
    out: str,
    model: str | None,
    facts: str | None,
    probing: dict[str, Any],
    load: dict[str, Any],
    as_json: bool,
) -> None:
    """Choose the strength of an adapter, and of a run its checkpoint, that keeps to a budget.

    Half of the untrained facts and of the neutral text is chosen by, the other half judged by;
    ends with 3, everything written, where the budget was not held there.
    """
    import lorepack

    if not budget:
        raise click.UsageError("give at least one --budget MEASURE=LIMIT, such as neutral_kl=0.05")
    with progress(as_json) as show:
        result = lorepack.tune(
            source, out, budget, model=model, facts=facts, progress=show, **_given(probing), **load
        )
    finish(result.to_json(), as_json, lambda: _show(result))
    end_budget(result.budget)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the user typed."""
    source = click.get_current_context().get_parameter_source
    return {
        key: value for key, value in options.items() if source(key) is ParameterSource.COMMANDLINE
    }


def _show(result: TuneResult) -> None:
    show_budget(result.budget)
    for note in result.notes:
        click.echo(f"note: {note}")
    click.echo(f"adapter: {result.adapter}\n{result.seconds:.0f} s")
