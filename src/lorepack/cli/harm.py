"""`lorepack harm`: what did adapters cost on benchmarks?"""

from __future__ import annotations

from typing import Any

import click

from lorepack.cli.console import finish, json_option, progress, table
from lorepack.cli.options import load_options


@click.command("harm")
@click.option("--run", metavar="RUN", help="a run: its model and adapter, results in RUN/harm")
@click.option("--model", metavar="M", help="world, world-base, a model folder or a hub id")
@click.option("--adapter", "adapters", multiple=True, metavar="A", help="a PEFT folder; repeatable")
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="T",
    help="world, mmlu, truthfulqa, arc_challenge, or any task of the harness; repeatable"
    "  [default: world]",
)
@click.option("--data", metavar="DIR", help="original files: truthfulqa.csv, mmlu.zip, …")
@click.option("--limit", type=click.IntRange(min=1), help="most items a task")
@click.option("--shots", type=click.IntRange(min=0), help="examples before each item")
@click.option("--chat-template", is_flag=True, help="wrap prompts in the model's chat template")
@click.option("--out", metavar="DIR", help="folder of the results")
@click.option("--cache", metavar="DIR", help="answers of each model and adapter  [OUT/cache]")
@load_options
@json_option
def command(
    run: str | None,
    model: str | None,
    adapters: tuple[str, ...],
    tasks: tuple[str, ...],
    data: str | None,
    limit: int | None,
    shots: int | None,
    chat_template: bool,
    out: str | None,
    cache: str | None,
    load: dict[str, Any],
    as_json: bool,
) -> None:
    """Measure benchmarks on a base and its adapters through lm-evaluation-harness."""
    from lorepack.auditing.harm import HarmSettings
    from lorepack.packing import harm as measuring

    if run is not None and (model or adapters or out):
        raise click.UsageError("--run stands alone: model, adapter and folder are the run's own")
    if run is None and not (model and out):
        raise click.UsageError("give --run RUN, or --model and --out")
    notes: list[str] = []
    options: dict[str, Any] = {
        "tasks": tasks or measuring.WORLD,
        "data": data,
        "cache": cache,
        "settings": HarmSettings(limit=limit, shots=shots, chat_template=chat_template),
        "notes": notes,
        **load,
    }
    with progress(as_json) as show:
        if run is not None:
            result = measuring.harm_run(run, progress=show, **options)
        else:
            assert model is not None
            assert out is not None
            result = measuring.harm(model, out, adapters=adapters, progress=show, **options)
    row = {**result.document, "out": str(result.out), "notes": notes}

    def show_tables() -> None:
        for name, task in result.tasks.items():
            table(*_sheet(name, task))
            click.echo()
        for note in notes:
            click.echo(f"note: {note}")
        click.echo(f"results: {result.out}")

    finish(row, as_json, show_tables)


def _sheet(name: str, task: dict[str, Any]) -> tuple[str, list[str], list[list[Any]]]:
    """Title, columns and rows of one task."""
    remarks = [f"{task['items']:,} items", f"{task['shots_asked']} shots"]
    fewer = sum(n for used, n in task["shots_used"].items() if int(used) < task["shots_asked"])
    if fewer:
        remarks.append(f"{fewer:,} items with fewer (at least {task['shots']})")
    if task["overlong"]:
        remarks.append(f"{task['overlong']:,} too long, cut")
    rows: list[list[Any]] = []
    for metric, found in task["metrics"].items():
        base = found["base"]
        rows.append([metric, "base", base["value"], base["stderr"], None, None, None])
        for adapter, row in found["adapters"].items():
            rows.append(
                [metric, adapter, row["value"], row["stderr"], row["delta"], row["delta_stderr"],
                 row["p"]]
            )  # fmt: skip
    columns = ["metric", "of", "value", "± se", "Δ to base", "± se", "p"]
    return f"{name}: {', '.join(remarks)}", columns, rows
