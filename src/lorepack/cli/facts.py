"""`lorepack facts`: import, make and check files of facts; looking at them is beside."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lorepack.cli.console import finish, json_option, progress, table
from lorepack.cli.facts_looking import COMMANDS
from lorepack.cli.options import gathered, token_counter
from lorepack.errors import InputError, NotFoundError

if TYPE_CHECKING:
    from lorepack.facts import Fact
    from lorepack.facts.importing import ImportReport

_PATH = click.Path(path_type=Path)
_OPTIONS = (
    *("split", "articles", "since", "until", "templates", "ontology", "aliases", "seed"),
    *("per_relation", "size", "overlap", "similarity", "limit"),
    *("alias_endpoint", "alias_language", "alias_rate", "alias_batch", "alias_cache"),
)
"""those of `lorepack.facts.importing.Options`, but for the columns and the tokenizer"""


@click.group("facts")
def command() -> None:
    """Import, make, check and look at files of facts."""


for verb in COMMANDS:
    command.add_command(verb)


@command.command("check")
@click.argument("file")
@click.option("--rejected", metavar="FILE", help="write the rows that are set aside, with reasons")
@json_option
def check(file: str, rejected: str | None, as_json: bool) -> None:
    """List every schema error, duplicate, contradiction and risky answer of FILE.

    Ends with 2 when a row cannot be read, with 0 when there are warnings only.
    """
    from lorepack import facts

    report = facts.check(file)
    if rejected is not None:
        facts.write_rejected(report, rejected)

    def show() -> None:
        rows = [(kind, count) for kind, count in sorted(report.problems.items())]
        table(f"{file}: {report.facts:,} facts", ["problem", "rows"], rows or [("none", 0)])
        for line in report.lines():
            click.echo(line)

    finish(report.to_json(), as_json, show)
    if report.errors:
        sys.exit(2)


@command.command("make")
@click.argument("source", type=click.Choice(["world", "world-new", "phonebook", "random-map"]))
@click.option("--size", type=click.IntRange(min=1), help="how many facts (all but world)")
@click.option("--seed", type=click.IntRange(min=0), help="which facts (all but world) [default: 0]")
@click.option("--alphabet", help="signs of the values (random-map)  [default: 0123456789]")
@click.option(
    "--length", type=click.IntRange(min=1), help="signs a value (random-map) [default: 8]"
)
@click.option("--out", required=True, metavar="FILE", help=".jsonl, .csv or .parquet")
@json_option
def make(
    source: str,
    size: int | None,
    seed: int | None,
    alphabet: str | None,
    length: int | None,
    out: str,
    as_json: bool,
) -> None:
    """Write facts of a made world, or values of known entropy.

    \b
    world       all facts of the world, of which its model was told some
    world-new   further ones, of which no model has read
    phonebook   names with phone numbers of 32.42 bits each
    random-map  words with codes of as many bits as you choose
    """
    from lorepack import facts
    from lorepack.facts.generators import Generated

    if source == "world" and (size, seed) != (None, None):
        raise click.UsageError("the world's own facts are fixed; --size and --seed have no use")
    if source != "world" and size is None:
        raise click.UsageError(f"{source} needs --size N")
    if source != "random-map" and (alphabet, length) != (None, None):
        raise click.UsageError("--alphabet and --length belong to random-map")
    made = _made(source, size or 0, seed or 0, {"alphabet": alphabet, "length": length})
    count = facts.write(out, made)
    row: dict[str, Any] = {"facts": count, "out": out}
    told = f"{count:,} facts: {out}"
    if isinstance(made, Generated):
        row |= {"bits_per_value": made.bits_per_value, "bits": made.bits}
        told += f"\n{made.bits_per_value:.2f} bits a value, {made.bits:,.0f} bits together"
    finish(row, as_json, lambda: click.echo(told))


def _made(source: str, size: int, seed: int, shape: dict[str, Any]) -> Iterable[Fact]:
    from lorepack import world
    from lorepack.facts import generators

    if source == "phonebook":
        return generators.phone_book(size, seed)
    if source == "random-map":
        given = {name: value for name, value in shape.items() if value is not None}
        return generators.random_map(size, seed, **given)
    return world.facts() if source == "world" else world.new_facts(size, seed)


class _Import(click.Command):
    """A verb whose help lists the formats, which are loaded for it alone."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The formats by name."""
        from lorepack.facts import importing

        with formatter.section("Formats"):
            formatter.write_dl([(name, importing.named(name).about) for name in importing.HOMES])


@command.command("import", cls=_Import)
@click.argument("sources", nargs=-1, required=True, metavar="[FORMAT] SOURCE...")
@click.option("--as", "fmt", metavar="FORMAT", help="one of those below; else it is found out")
@click.option("--out", required=True, metavar="FILE", help=".jsonl, .csv or .parquet")
@click.option("--column", "pairs", multiple=True, metavar="FIELD=COL", help="which column is what")
@click.option("--question", metavar="COL", help="the same as --column question=COL")
@click.option("--answer", metavar="COL", help="the same as --column answer=COL")
@gathered(
    "options",
    _OPTIONS,
    click.option("--split", metavar="S", help="one part of a data set"),
    click.option("--articles", type=_PATH, metavar="FILE", help="what rows are joined with by id"),
    click.option("--since", metavar="D", help="first date, YYYY-MM-DD"),
    click.option("--until", metavar="D", help="last date, YYYY-MM-DD"),
    click.option("--templates", type=_PATH, metavar="F", help="wordings of relations (JSONL)"),
    click.option("--ontology", type=_PATH, metavar="FILE", help="what relations are about"),
    click.option("--aliases", type=_PATH, multiple=True, metavar="FILE", help="other names"),
    click.option("--seed", type=click.IntRange(min=0), help="what is drawn from too much"),
    click.option("--per-relation", type=click.IntRange(min=0), metavar="N", help="most of each"),
    click.option("--size", type=click.IntRange(min=1), help="most tokens of a passage (docs)"),
    click.option("--overlap", type=click.IntRange(min=0), help="tokens shared with the one before"),
    click.option("--similarity", type=click.FloatRange(0, 1), help="of a near-duplicate (docs)"),
    click.option("--limit", type=click.IntRange(min=1), metavar="N", help="most rows to read"),
    click.option("--alias-endpoint", metavar="URL", help="asked for other names (SPARQL; dbpedia)"),
    click.option("--alias-language", metavar="L", help="of those names  [en]"),
    click.option("--alias-rate", type=click.FloatRange(0.001, 100), help="requests a second  [1]"),
    click.option("--alias-batch", type=click.IntRange(1, 1_000), help="entities a request  [100]"),
    click.option("--alias-cache", type=_PATH, metavar="F", help="keeps them [OUT.aliases.sqlite]"),
)
@click.option("--tokenizer", metavar="M", help="the model whose tokens are counted (docs)")
@click.option("--passages", metavar="FILE", help="where passages go  [OUT.passages.jsonl]")
@click.option("--rejected", metavar="FILE", help="where set-aside rows go  [rejected.jsonl]")
@json_option
def import_(
    sources: tuple[str, ...],
    fmt: str | None,
    out: str,
    pairs: tuple[str, ...],
    question: str | None,
    answer: str | None,
    options: dict[str, Any],
    tokenizer: str | None,
    passages: str | None,
    rejected: str | None,
    as_json: bool,
) -> None:
    """Turn the data set SOURCE into facts and passages; of documents, many sources at once.

    A FORMAT before the sources says the same as --as FORMAT. Every row that is set aside is
    counted by reason and written with file and line. Ends with 2 when the source breaks off; what
    came before is written all the same.
    """
    from lorepack.facts import importing

    fmt, (source, *more) = _sources(sources, fmt)
    given = {name: value for name, value in options.items() if value is not None}
    given["also"] = tuple(map(Path, more))
    if tokenizer is not None:
        given["tokenizer"] = token_counter(tokenizer)
    columns = _columns([*pairs, *_short(question=question, answer=answer)])
    with progress(as_json) as show:
        report = importing.import_facts(
            source,
            out,
            fmt=fmt,
            options=importing.Options(columns=columns, **given),
            passages=passages,
            rejected=rejected,
            progress=lambda rows: show("rows", rows, rows + 1),  # nobody knows how many there are
        )
        show("rows", report.read, report.read)
    finish(report.to_json(), as_json, lambda: _show_import(report))
    if report.broken:
        raise InputError(f"the source breaks off, what came before is written ({report.broken})")


def _sources(words: Sequence[str], fmt: str | None) -> tuple[str | None, Sequence[str]]:
    """The format, where one is said, and the sources.

    Raises:
        InputError: the first word is the name of a format and of a file.
        NotFoundError: the name of a format is all there is.
    """
    from lorepack.facts.importing import HOMES

    first, *others = words
    if fmt is not None or first not in HOMES:
        return fmt, words
    if others and Path(first).exists():
        raise InputError(
            f"{first} is a format, and a file or folder here; "
            f"leave it out and say --as {first}, or write ./{first} for what is here"
        )
    if not others and not Path(first).exists():
        raise NotFoundError(f"no such file: {first}; the format {first} needs a source after it")
    return (first, others) if others else (None, words)


def _short(**columns: str | None) -> list[str]:
    return [f"{field}={column}" for field, column in columns.items() if column is not None]


def _columns(pairs: Iterable[str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for pair in pairs:
        field, equals, column = (part.strip() for part in pair.partition("="))
        if not (field and equals and column):
            raise click.UsageError(f"--column {pair!r}: expected FIELD=COLUMN")
        if columns.setdefault(field, column) != column:
            raise click.UsageError(f"{field} is said to be in {columns[field]!r} and {column!r}")
    return columns


def _show_import(report: ImportReport) -> None:
    rows = [(f"set aside: {reason}", count) for reason, count in report.rejected.items()]
    rows += [(f"counted: {name}", count) for name, count in report.counts.items()]
    kept = [("facts", report.facts), ("passages", report.passages)]
    table(f"{report.read:,} rows as {report.format}", ["", "number"], [*kept, *rows])
    click.echo(f"written: {report.out}")
    if report.passages_out:
        click.echo(f"passages: {report.passages_out}")
    if report.rejected:
        click.echo(f"set aside: {report.rejected_out}")
