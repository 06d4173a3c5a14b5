"""`lorepack pack`: write facts into an adapter, and prove what was learned and what it cost."""

from __future__ import annotations

from typing import Any

import click

from lorepack.cli.console import finish, json_option, progress
from lorepack.cli.options import (
    facts_option,
    load_options,
    log_to_option,
    model_option,
    probe_options,
)
from lorepack.cli.results import show_run


@click.command("pack")
@model_option
@facts_option
@click.option("--out", "--run", "run", required=True, metavar="RUN", help="folder of the run")
@click.option("--unknown", default="all", show_default=True, metavar="N|all", help="facts to train")
@click.option("--known", default=0, show_default=True, help="HighlyKnown facts per Unknown fact")
@click.option("--paraphrases", default=0, show_default=True, help="wordings per Unknown fact")
@click.option("--rank", type=int, help="rank of the adapter  [default: the recipe's]")
@click.option("--recipe", default="recommended", show_default=True, help="or paper, or a YAML file")
@click.option("--answer-cap", type=float, help="largest share of one answer among trained facts")
@click.option("--epoch-curve", is_flag=True, help="measure reliability after every epoch")
@log_to_option
@probe_options
@load_options
@json_option
def command(
    model: str,
    facts: str,
    run: str,
    unknown: str,
    known: int,
    paraphrases: int,
    rank: int | None,
    recipe: str,
    answer_cap: float | None,
    epoch_curve: bool,
    log_to: tuple[str, ...],
    probing: dict[str, Any],
    load: dict[str, Any],
    as_json: bool,
) -> None:
    """Probe, mix, train, audit and report. The same command again goes on where it stopped."""
    import lorepack

    with progress(as_json) as show:
        result = lorepack.pack(
            model,
            facts,
            run,
            unknown=unknown,
            known=known,
            paraphrases=paraphrases,
            rank=rank,
            recipe=recipe,
            answer_cap=answer_cap,
            epoch_curve=epoch_curve,
            log_to=log_to,
            progress=show,
            **probing,
            **load,
        )
    finish(result.to_json(), as_json, lambda: show_run(result))
