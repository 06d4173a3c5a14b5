"""`lorepack synthesize`: training and evaluation data from passages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lorepack.cli.console import finish, json_option, progress, table
from lorepack.cli.writing import (
    PATH,
    asked_line,
    make_writer,
    rejected_rows,
    require_replies,
    writer_options,
)

if TYPE_CHECKING:
    from lorepack.synthesis import SynthesisReport


class _Synthesize(click.Command):
    """A verb whose help lists the forms, which are loaded for it alone."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The forms by name."""
        from lorepack.synthesis.forms import FORMS

        with formatter.section("Forms"):
            formatter.write_dl([(f"{f.name}:{f.default}", f.about) for f in FORMS.values()])


@click.command("synthesize", cls=_Synthesize)
@click.argument("passages")
@click.option("--out", required=True, type=PATH, metavar="FOLDER", help="folder of the results")
@click.option(
    "--form",
    "forms",
    multiple=True,
    metavar="FORM[:N]",
    help="one of those below, N of it a passage  [qa:8, summary:1, original]",
)
@writer_options
@click.option("--facts", type=PATH, metavar="F", help="known facts with subject and object")
@click.option("--evaluation", type=PATH, metavar="F", help="questions to keep clear of")
@click.option("--prompts", type=PATH, metavar="DIR", help="prompts that replace the shipped ones")
@click.option("--cache", type=PATH, metavar="FILE", help="of replies  [FOLDER/replies.sqlite]")
@click.option("--tag", metavar="T", help="before questions, such as '[{document}] '")
@click.option("--answer-tag", metavar="T", help="before answers")
@click.option("--given", type=PATH, metavar="FILE", help="judge these items (JSONL); ask nobody")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="most passages")
@click.option("--seed", type=click.IntRange(min=0), help="of what is drawn  [default: 0]")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="any other setting")
@json_option
def command(
    passages: str,
    out: Path,
    forms: tuple[str, ...],
    written_by: dict[str, Any],
    facts: Path | None,
    evaluation: Path | None,
    prompts: Path | None,
    cache: Path | None,
    tag: str | None,
    answer_tag: str | None,
    given: Path | None,
    limit: int | None,
    seed: int | None,
    sets: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write training and evaluation data from PASSAGES (a file, or: world).

    Every item passes the gates or is rejected with its reason. The same command goes on where a
    stopped one was, and asks nothing twice. A server's key comes from LOREPACK_API_KEY or
    OPENAI_API_KEY.
    """
    from lorepack import facts as room
    from lorepack import synthesis

    options = {"tag": tag, "answer_tag": answer_tag, "limit": limit, "seed": seed}
    told: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if forms:
        told["forms"] = tuple(synthesis.parse_form(form) for form in forms)
    settings = synthesis.SynthesisSettings(**told).override(sets)
    if given is not None and forms:
        raise click.UsageError("--given has forms of its own; leave --form out")

    def read() -> Any:
        return synthesis.passages_of(passages, limit=settings.limit, seed=settings.seed)

    texts, known = read()
    with progress(as_json) as show:
        report = synthesis.synthesize(
            texts,
            out,
            settings,
            make_writer(**written_by) if given is None else None,
            facts=room.read(facts) if facts else known,
            evaluation=room.read(evaluation) if evaluation else (),
            prompts=synthesis.Prompts(prompts),
            cache=cache,
            given=synthesis.read_given(given, read()[0]) if given else None,
            progress=show,
        )
    finish(report.to_json(), as_json, lambda: _show(report))
    require_replies(report.failed, report.out / "rejected.jsonl")


def _show(report: SynthesisReport) -> None:
    rows = [
        (name, form["kept"], sum(form["rejected"].values()), form["asked"])
        for name, form in report.forms.items()
    ]
    columns = ["form", "kept", "rejected", "requests"]
    table(f"{report.passages:,} passages: {report.items:,} items", columns, rows)
    kinds = ("facts", "texts", "targets", "exam")
    table("", ["", "number"], [(kind, getattr(report, kind)) for kind in kinds])
    if report.rejected:
        table("", ["", "number"], rejected_rows(report.rejected))
    for line in _measures(report):
        click.echo(line)
    click.echo(f"{asked_line(report)}\nwritten: {report.out}")


def _measures(report: SynthesisReport) -> list[str]:
    lines = []
    if (cover := report.coverage) is not None:
        lines.append(
            f"coverage: {cover['mean']:.1%} of the words on average; {cover['full']:,} of "
            f"{cover['passages']:,} passages whole; {cover['uncovered_sentences']:,} sentences "
            "that no item tells"
        )
    if (leaks := report.leaks) is not None:
        near = leaks["per_evaluation_question"]
        mean = near["mean_best"]
        lines.append(
            f"leaks: best ROUGE-L of an evaluation question {mean:.3f} on average; "
            f"{near['at_least']['0.7']:,} of {near['questions']:,} at least 0.7"
        )
    return lines
