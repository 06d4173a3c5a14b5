"""`lorepack audit`: what did an adapter learn, and what did it cost?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from click.core import ParameterSource

from lorepack.cli.compare import show_comparison, show_edits
from lorepack.cli.console import finish, json_option, progress, table
from lorepack.cli.options import OWN_SETTINGS, apply, gathered, load_options, probe_options
from lorepack.cli.results import show_run

counting_options = gathered(
    "counting",
    ("domains", "ontology", "paper"),
    click.option(
        "--domains", metavar="FILE", help="domains of relations: JSON, YAML or CSV, each to its own"
    ),
    click.option("--ontology", metavar="FILE", help="domains from an ontology: N-Triples or RDF"),
    click.option("--paper", is_flag=True, help="also the published analysis, errors included"),
)
edit_options = gathered(
    "asking",
    ("edits", "form", "only_trained", "limit"),
    click.option("--edits", metavar="FILE", help="a set of edits: CounterFact or zsRE"),
    click.option(
        "--form",
        default="chat",
        show_default=True,
        type=click.Choice(["chat", "text"]),
        help="edits as questions, or as running text",
    ),
    click.option("--only-trained", is_flag=True, help="edits that an adapter was trained on"),
    click.option("--limit", type=click.IntRange(min=1), help="most edits of the file"),
)


@click.command("audit")
@click.argument("adapters", nargs=-1, metavar="[ADAPTER_OR_RUN]...")
@click.option("--run", metavar="RUN", help="audit a run again, with its own settings")
@click.option("--model", metavar="M", help="the adapters' base")
@click.option("--adapter", metavar="A", help="a PEFT LoRA folder")
@click.option("--facts", metavar="F", help="a file (JSONL, CSV, Parquet), or: world")
@click.option("--out", metavar="DIR", help="folder of the results")
@apply(counting_options, edit_options, probe_options, load_options)
@json_option
def command(
    adapters: tuple[str, ...],
    run: str | None,
    model: str | None,
    adapter: str | None,
    facts: str | None,
    out: str | None,
    counting: dict[str, Any],
    asking: dict[str, Any],
    probing: dict[str, Any],
    load: dict[str, Any],
    as_json: bool,
) -> None:
    """Audit a run (--run), any adapter (--model --adapter --facts --out), or compare several.

    Several adapters of one base are asked together (A B C --model --facts --out); runs that were
    audited are compared from their files (RUN1 RUN2 --out), also of different bases. With --edits,
    adapters are asked about a set of edits (A B --model --edits --out).
    """
    if run is not None:
        others = [*probing, *OWN_SETTINGS, *asking]
        if adapters or model or adapter or facts or out or _given(others):
            raise click.UsageError(
                "--run stands alone: model, adapter, facts and settings are the run's own"
            )
        return _again(run, counting, load, as_json)
    if adapter is not None and adapters:
        raise click.UsageError("name adapters as arguments, or one with --adapter, not both")
    if asking["edits"] is not None:
        named = adapters or ((adapter,) if adapter else ())
        others = [*(set(probing) - {"seed"}), *OWN_SETTINGS, *counting]
        if not (named and model and out) or facts or _given(others):
            raise click.UsageError(
                "--edits needs adapters, --model and --out, and takes no facts or probe settings"
            )
        return _edits(named, model, out, asking, probing["seed"], load, as_json)
    if _given(asking):
        raise click.UsageError("--form, --only-trained and --limit go with --edits")
    if adapters:
        return _several(adapters, model, facts, out, counting, probing, load, as_json)
    if not (model and adapter and facts and out):
        raise click.UsageError(
            "give --run RUN, or all of --model --adapter --facts --out, or several adapters or runs"
        )
    return _one(model, adapter, facts, out, counting, probing, load, as_json)


def _again(run: str, counting: dict[str, Any], load: dict[str, Any], as_json: bool) -> None:
    from lorepack.packing import audits

    with progress(as_json) as show:
        result = audits.audit_run(run, progress=show, **counting, **load)
    finish(result.to_json(), as_json, lambda: show_run(result))


def _one(
    model: str,
    adapter: str,
    facts: str,
    out: str,
    counting: dict[str, Any],
    probing: dict[str, Any],
    load: dict[str, Any],
    as_json: bool,
) -> None:
    from lorepack.packing import audits

    with progress(as_json) as told:
        audited = audits.audit_adapter(
            model, adapter, facts, out, progress=told, **counting, **probing, **load
        )
    row = audited.to_json()

    def show() -> None:
        figures = [(name, value) for name, value in row.items() if name not in ("notes", "out")]
        table("Audit", ["figure", "value"], figures)
        for note in row["notes"]:
            click.echo(f"note: {note}")
        click.echo(f"results: {row['out']}")

    finish(row, as_json, show)


def _several(
    adapters: tuple[str, ...],
    model: str | None,
    facts: str | None,
    out: str | None,
    counting: dict[str, Any],
    probing: dict[str, Any],
    load: dict[str, Any],
    as_json: bool,
) -> None:
    from lorepack.packing import comparison

    if out is None or (model is None) != (facts is None):
        raise click.UsageError(
            "several adapters need --out, and --model with --facts unless all are audited runs"
        )
    if model is None and _given([*load, *probing, *OWN_SETTINGS, *counting]):
        raise click.UsageError("audited runs are compared as they are: give no settings")
    with progress(as_json) as show:
        result = comparison.compare(
            adapters, out, model=model, facts=facts, progress=show, **counting, **probing, **load
        )
    finish(result.to_json(), as_json, lambda: show_comparison(result))


def _edits(
    adapters: tuple[str, ...],
    model: str,
    out: str,
    asking: dict[str, Any],
    seed: int,
    load: dict[str, Any],
    as_json: bool,
) -> None:
    from lorepack.packing import edit_audits

    file = asking.pop("edits")
    with progress(as_json) as show:
        found = edit_audits.edits(
            adapters, file, out, model=model, seed=seed, progress=show, **asking, **load
        )
    finish(found, as_json, lambda: show_edits(found, out))


def _given(names: Iterable[str]) -> bool:
    """Whether the user typed any of these options."""
    source = click.get_current_context().get_parameter_source
    return any(source(name) is ParameterSource.COMMANDLINE for name in names)
