"""`lorepack facts show|stats|sample|split|merge|dedupe`: looking at files of facts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from lorepack.cli.console import finish, json_option, progress, table
from lorepack.cli.facts_tables import show_fact, show_facts, show_stats
from lorepack.cli.options import token_counter

if TYPE_CHECKING:
    from lorepack.facts import Fact
    from lorepack.facts.looking.passes import Progress

_file = click.argument("file")
_out = click.option("--out", required=True, metavar="FILE", help=".jsonl, .csv or .parquet")
_seed = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)


@contextmanager
def _watched(as_json: bool) -> Iterator[tuple[list[str], Progress]]:
    """Where notes go, said at the end, and how far the rows are."""
    notes: list[str] = []
    with progress(as_json) as bar:
        # Nobody knows how many rows there are before the last is read.
        yield notes, lambda stage, rows: bar(stage, rows, rows + 1)
    for note in notes:
        click.echo(f"note: {note}", err=True)


@click.command("show")
@_file
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--first", type=click.IntRange(min=1), default=20, show_default=True, metavar="N")
@click.option("--where", multiple=True, metavar="FIELD=VALUE", help="only these; empty: none given")
@json_option
def show(
    file: str, ids: tuple[str, ...], first: int, where: tuple[str, ...], as_json: bool
) -> None:
    """Show the first facts of FILE, a line each, or all of the facts with the given IDs."""
    from lorepack.facts import looking

    if ids and where:
        raise click.UsageError("give IDs or --where, not both")
    notes: list[str] = []
    if ids:
        rows: Iterable[tuple[int, Fact]] = looking.by_ids(file, ids, notes)
    else:
        rows = islice(looking.select(file, _pairs("--where", where), notes), first)
    if as_json:
        _echo_json(file, rows)
    elif ids:
        for line, fact in rows:
            show_fact(line, fact)
    else:
        shown = show_facts(rows, shutil.get_terminal_size().columns)
        click.echo(f"{shown:,} facts" + ("; --first N shows more" if shown == first else ""))


def _echo_json(file: str, rows: Iterable[tuple[int, Fact]]) -> None:
    """One object with all facts, a fact at a time: there may be very many."""
    click.echo(f'{{"file": {json.dumps(file)}, "facts": [', nl=False)
    count = 0
    for count, (line, fact) in enumerate(rows, 1):
        row = json.dumps({"line": line, **fact.to_json()}, ensure_ascii=False)
        click.echo(f"{', ' if count > 1 else ''}{row}", nl=False)
    click.echo(f'], "shown": {count}}}')


@click.command("stats")
@_file
@click.option("--tokenizer", metavar="M", help="the model whose tokens are counted")
@click.option("--html", metavar="PAGE", help="also write a page with charts")
@json_option
def stats(file: str, tokenizer: str | None, html: str | None, as_json: bool) -> None:
    """Count what is in FILE: relations, answers, lengths, popularity, bits of random values."""
    from lorepack.facts import looking

    counted: dict[str, Any] = {}
    if tokenizer is not None:
        counted = {"count": token_counter(tokenizer), "tokens": tokenizer}
    with _watched(as_json) as (notes, rows):
        found = looking.stats(file, notes=notes, progress=rows, **counted)
    row = found.to_json()
    if html is not None:
        from lorepack import reports

        row["html"] = str(reports.facts_page(found, html))

    def show() -> None:
        show_stats(found)
        if html is not None:
            click.echo(f"page: {row['html']}")

    finish(row, as_json, show)


@click.command("sample")
@_file
@click.option("-n", "size", required=True, type=click.IntRange(min=1), metavar="N")
@click.option(
    "--by",
    type=click.Choice(["none", "relation", "popularity"]),
    default="none",
    show_default=True,
    help="the same number from each",
)
@_seed
@_out
@json_option
def sample(file: str, size: int, by: str, seed: int, out: str, as_json: bool) -> None:
    """Draw N facts of FILE; their order stays."""
    from lorepack.facts import looking

    with _watched(as_json) as (notes, rows):
        report = looking.sample(file, out, size, by=by, seed=seed, notes=notes, progress=rows)

    def show() -> None:
        if report.strata:
            table("drawn", [by, "facts"], list(report.strata.items()))
        click.echo(f"{report.facts:,} of {report.of:,} facts: {out}")

    finish(report.to_json(), as_json, show)


@click.command("split")
@_file
@click.option("--part", "parts", multiple=True, metavar="NAME=SHARE", help="e.g. train=0.9")
@click.option(
    "--by",
    type=click.Choice(["fact", "relation", "popularity"]),
    default="fact",
    show_default=True,
    help="what is kept together",
)
@_seed
@click.option("--out", "folder", required=True, metavar="FOLDER", help="for NAME.jsonl of each")
@click.option(
    "--format",
    "suffix",
    type=click.Choice(["jsonl", "csv", "parquet"]),
    default="jsonl",
    show_default=True,
)
@json_option
def split(
    file: str,
    parts: tuple[str, ...],
    by: str,
    seed: int,
    folder: str,
    suffix: str,
    as_json: bool,
) -> None:
    """Part FILE; every fact goes to one part.

    \b
    fact        what shares a question, or subject and relation, stays together
    relation    whole relations
    popularity  the most popular facts first; without --part: head, torso, tail
    """
    from lorepack.facts import looking

    shares = {name: _share(name, text) for name, text in _pairs("--part", parts).items()}
    with _watched(as_json) as (notes, rows):
        report = looking.split(
            file, folder, shares, by=by, seed=seed, suffix=f".{suffix}", notes=notes, progress=rows
        )

    def show() -> None:
        cells = [(n, p["facts"], f"{p['share']:.2%}", p["out"]) for n, p in report.parts.items()]
        table(f"{report.facts:,} facts by {by}", ["part", "facts", "share", "file"], cells)

    finish(report.to_json(), as_json, show)


@click.command("merge")
@click.argument("inputs", nargs=-1, required=True, metavar="FILE...")
@_out
@click.option("--conflicts", metavar="FILE", help="where contradictions go, a JSON object each")
@click.option(
    "--prefer",
    type=click.Choice(["first", "last", "none"]),
    help="which of contradicting facts to keep  [default: stop at them]",
)
@json_option
def merge(
    inputs: tuple[str, ...], out: str, conflicts: str | None, prefer: str | None, as_json: bool
) -> None:
    """Join FILEs; the same fact becomes one, with all its aliases and paraphrases.

    Facts that answer one question differently contradict each other: without --prefer, that
    stops the merge.
    """
    from lorepack.facts import looking

    with _watched(as_json) as (notes, rows):
        report = looking.merge(
            inputs, out, prefer=prefer, conflicts=conflicts, notes=notes, progress=rows
        )

    def show() -> None:
        numbers = [*report.read, ("united", report.united), ("conflicts", report.conflicts)]
        numbers += [("dropped", report.dropped), ("facts", report.facts)]
        table(f"{len(inputs)} files", ["", "number"], numbers)
        click.echo(f"written: {out}")
        if conflicts is not None:
            click.echo(f"conflicts: {conflicts}")

    finish(report.to_json(), as_json, show)


@click.command("dedupe")
@_file
@_out
@click.option(
    "--near", type=click.FloatRange(0.5, 1), metavar="X", help="also questions this similar: 0.9"
)
@click.option("--rejected", metavar="FILE", help="where the others go  [rejected.jsonl]")
@json_option
def dedupe(file: str, out: str, near: float | None, rejected: str | None, as_json: bool) -> None:
    """Leave out the facts of FILE that repeat an earlier question and answer."""
    from lorepack.facts import looking

    with _watched(as_json) as (notes, rows):
        report = looking.dedupe(file, out, near=near, rejected=rejected, notes=notes, progress=rows)

    def show() -> None:
        click.echo(
            f"{report.facts:,} of {report.read:,} facts: {out}\n"
            f"left out: {report.duplicates:,} duplicates, {report.near_duplicates:,} "
            f"near-duplicates: {report.rejected_out}"
        )

    finish(report.to_json(), as_json, show)


def _pairs(option: str, pairs: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (name and equals):
            raise click.UsageError(f"{option} {pair!r}: expected NAME=VALUE")
        if found.setdefault(name, value) != value:
            raise click.UsageError(f"{option}: {name} is both {found[name]!r} and {value!r}")
    return found


def _share(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise click.UsageError(f"--part {name}={text}: expected a share such as 0.8") from None


COMMANDS: tuple[click.Command, ...] = (show, stats, sample, split, merge, dedupe)
