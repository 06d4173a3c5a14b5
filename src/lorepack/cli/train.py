"""`lorepack train`: many adapters together, by a file of jobs."""

from __future__ import annotations

from typing import Any

import click

from lorepack.cli.console import json_option
from lorepack.cli.live import screen
from lorepack.cli.options import load_options, stack_options
from lorepack.cli.results import end_jobs


@click.command("train")
@click.argument("jobs", metavar="JOBS.yaml")
@click.option("--model", metavar="M", help="over the file's: a model folder, hub id or world")
@click.option("--out", metavar="DIR", help="over the file's: folder of all results")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="recipe field of all jobs")
@click.option("--recall/--no-recall", default=True, help="ask each adapter its facts afterwards")
@stack_options
@load_options
@json_option
def command(
    jobs: str,
    model: str | None,
    out: str | None,
    sets: tuple[str, ...],
    recall: bool,
    max_jobs: int | None,
    stack: dict[str, Any],
    load: dict[str, Any],
    as_json: bool,
) -> None:
    """Train the adapters that JOBS.yaml lists, all in one stack, each as it would be alone.

    The same command again goes on where it stopped. Ends with 2 when a job failed, after the
    rest have finished.
    """
    import lorepack
    from lorepack.packing.job_file import read_jobs

    found = read_jobs(jobs, sets, max_jobs)
    model, out = model or found.model, out or (str(found.out) if found.out else None)
    if not (model and out):
        missing = "--model M" if not model else "--out DIR"
        raise click.UsageError(f"give {missing}, or '{missing[2:].split()[0]}:' in {jobs}")
    with screen(as_json) as shown:
        result = lorepack.train(
            found.jobs, model=model, out=out, recall=recall, **shown, **stack, **load
        )
    end_jobs(result, as_json)
