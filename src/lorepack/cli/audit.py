"""`lorepack audit`: what did an adapter learn, and what did it cost?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from click.core import ParameterSource

from lorepack.cli.console import finish, json_option, progress, table
from lorepack.cli.options import OWN_SETTINGS, load_options, probe_options
from lorepack.cli.results import show_run


@click.command("audit")
@click.option("--run", metavar="RUN", help="audit a run again, with its own settings")
@click.option("--model", metavar="M", help="the adapter's base")
@click.option("--adapter", metavar="A", help="a PEFT LoRA folder")
@click.option("--facts", metavar="F", help="a file (JSONL, CSV, Parquet), or: world")
@click.option("--out", metavar="DIR", help="folder of the results")
@click.option(
    "--domains", metavar="FILE", help="domains of relations: JSON, YAML or CSV, relation to domain"
)
@click.option("--ontology", metavar="FILE", help="domains from an ontology: N-Triples or RDF/XML")
@click.option("--paper", is_flag=True, help="also the published analysis, its errors included")
@probe_options
@load_options
@json_option
def command(
    run: str | None,
    model: str | None,
    adapter: str | None,
    facts: str | None,
    out: str | None,
    domains: str | None,
    ontology: str | None,
    paper: bool,
    probing: dict[str, Any],
    load: dict[str, Any],
    as_json: bool,
) -> None:
    """Audit a run (--run), or any adapter (--model --adapter --facts --out)."""
    from lorepack.packing import audits

    counting: dict[str, Any] = {"domains": domains, "ontology": ontology, "paper": paper}
    if run is not None:
        if model or adapter or facts or out or _given([*probing, *OWN_SETTINGS]):
            raise click.UsageError(
                "--run stands alone: model, adapter, facts and settings are the run's own"
            )
        with progress(as_json) as show:
            result = audits.audit_run(run, progress=show, **counting, **load)
        return finish(result.to_json(), as_json, lambda: show_run(result))
    if not (model and adapter and facts and out):
        raise click.UsageError("give --run RUN, or all of --model --adapter --facts --out")
    with progress(as_json) as show:
        audited = audits.audit_adapter(
            model,
            adapter,
            facts,
            out,
            progress=show,
            **counting,
            **probing,
            **load,
        )
    row = audited.to_json()
    finish(row, as_json, lambda: table("Audit", ["figure", "value"], list(row.items())))
    return None


def _given(names: Iterable[str]) -> bool:
    """Whether the user typed any of these options."""
    source = click.get_current_context().get_parameter_source
    return any(source(name) is ParameterSource.COMMANDLINE for name in names)
