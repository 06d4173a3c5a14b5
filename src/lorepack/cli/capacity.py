"""`lorepack capacity`: how many bits does an adapter store?"""

from __future__ import annotations

from typing import Any

import click

from lorepack.cli.console import finish, json_option, progress, table
from lorepack.cli.options import load_options


@click.group("capacity")
def command() -> None:
    """How many bits an adapter stores, and how dense that is."""


@command.command("probe")
@click.argument("run", required=False, metavar="[RUN]")
@click.option("--adapter", metavar="A", help="a PEFT LoRA folder, in place of a run")
@click.option("--facts", metavar="F", help="what was trained (a run keeps its own)")
@click.option("--model", metavar="M", help="the base (a run or job names its own)")
@click.option("--out", metavar="DIR", help="folder of the results  [default: RUN/bits]")
@click.option("--entropy", type=float, help="bits of a value, where facts were made elsewhere")
@click.option("--pattern", metavar="REGEX", help="a well-formed value, where made elsewhere")
@click.option("--fresh", metavar="F", help="facts of the same kind that were never trained")
@click.option(
    "--keys", type=click.IntRange(min=1), default=1000, show_default=True,
    help="never-trained keys to draw, where the maker of the facts is known",
)  # fmt: skip
@load_options
@json_option
def probe(
    run: str | None,
    adapter: str | None,
    facts: str | None,
    model: str | None,
    out: str | None,
    entropy: float | None,
    pattern: str | None,
    fresh: str | None,
    keys: int,
    load: dict[str, Any],
    as_json: bool,
) -> None:
    """Print the bits that the adapter of RUN, a job, or --adapter stores.

    The same command again goes on where it stopped.
    """
    from lorepack.packing.capacity import capacity

    if (run is None) == (adapter is None):
        raise click.UsageError("give RUN, or --adapter A --facts F --model M --out DIR")
    if pattern is not None and entropy is None:
        raise click.UsageError("--pattern describes values whose --entropy is given")
    with progress(as_json) as show:
        found = capacity(
            run, model=model, adapter=adapter, facts=facts, out=out, entropy=entropy,
            pattern=pattern, fresh=fresh or keys, progress=show, **load,
        )  # fmt: skip
    finish(found, as_json, lambda: _show(found))


def _show(found: dict[str, Any]) -> None:
    bound = "" if found["known_entropy"] else " (upper bound)"
    title = f"{found['values']:,} values of {found['entropy_bits']:.2f} bits"
    each = found["bits_a_parameter"]
    rows = [(f"{name}{bound}", bits, each[name]) for name, bits in found["bits"].items()]
    rows.append((f"of a rank-effective parameter{bound}", None, each["rank_effective"]))
    rows.append(("ceiling", found["values"] * found["entropy_bits"], found["ceiling_a_parameter"]))
    table(title, ["stored", "bits", "a parameter"], rows)
    nll = [(name.replace("_", " "), value) for name, value in found["nll_bits"].items()]
    table("Bits to write a value down", ["with", "bits"], nll)
    wrong = found["false_recall"]
    shares = [("trained values repeated exactly", found["recalled"]["share"])]
    if wrong["share"] is not None:
        shares.append((f"false recall, of {wrong['keys']:,} keys never trained", wrong["share"]))
    table("Shares", ["of", "share"], shares)
    if found["note"]:
        click.echo(f"note: {found['note']}")
