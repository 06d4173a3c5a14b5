"""`lorepack pack`: write facts into an adapter, and prove what was learned and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click
from click.core import ParameterSource

from lorepack.cli.console import finish, json_option, progress
from lorepack.cli.live import screen
from lorepack.cli.options import (
    budget_option,
    facts_option,
    load_options,
    log_to_option,
    model_option,
    probe_options,
    stack_options,
)
from lorepack.cli.results import end_budget, end_jobs, show_run


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
@click.option("--allow-lucky", is_flag=True, help="known facts may be known by luck (--controls)")
@click.option("--epoch-curve", is_flag=True, help="measure reliability after every epoch")
@budget_option
@log_to_option
@click.option(
    "--grid",
    multiple=True,
    metavar="KEY=VALUES",
    help="one run for each value: rank=1,4,16, seed=0..2; again for further keys",
)
@probe_options
@stack_options
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
    allow_lucky: bool,
    epoch_curve: bool,
    budget: tuple[str, ...],
    log_to: tuple[str, ...],
    grid: tuple[str, ...],
    max_jobs: int | None,
    probing: dict[str, Any],
    stack: dict[str, Any],
    load: dict[str, Any],
    as_json: bool,
) -> None:
    """Probe, mix, train, audit and report. The same command again goes on where it stopped.

    With --budget, checkpoint and strength of the adapter are chosen to keep to its limits; ends
    with 3, everything written, where they were not held on the test part.

    With --grid, every combination of the values is a run in RUN, all trained together; ends with 2
    when one of them failed, after the rest have finished.
    """
    import lorepack

    if grid and budget:
        raise click.UsageError("--budget belongs to a single run: `lorepack tune` takes a grid's")
    if grid:
        shared = {"unknown": unknown, "known": known, "paraphrases": paraphrases, "rank": rank,
                  "recipe": recipe, "answer_cap": answer_cap, "epoch_curve": epoch_curve,
                  "allow_lucky": allow_lucky, **probing}  # fmt: skip
        return _grid(model, facts, run, grid, shared, max_jobs, {**stack, **load}, as_json)
    if max_jobs or any(stack.values()):
        raise click.UsageError("--slots, --tokens, --workers and --max-jobs belong to --grid")
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
            allow_lucky=allow_lucky,
            epoch_curve=epoch_curve,
            budget=budget,
            log_to=log_to,
            progress=show,
            **probing,
            **load,
        )
    finish(result.to_json(), as_json, lambda: show_run(result))
    end_budget(result.budget)
    return None


def _grid(
    model: str,
    facts: str,
    run: str,
    grid: Iterable[str],
    shared: Mapping[str, Any],
    max_jobs: int | None,
    options: Mapping[str, Any],
    as_json: bool,
) -> None:
    import lorepack
    from lorepack.packing.axes import MAX_JOBS, parse_axes

    axes = parse_axes(grid)
    source = click.get_current_context().get_parameter_source
    for key in axes:
        if source(key) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{key} is given twice: as an option and in --grid")
    settings = {key: value for key, value in shared.items() if key != "sets"}
    with screen(as_json) as shown:
        result = lorepack.pack_grid(
            model,
            facts,
            run,
            axes,
            max_jobs=max_jobs or MAX_JOBS,
            sets=shared["sets"],
            settings=settings,
            **shown,
            **options,
        )
    end_jobs(result, as_json)
