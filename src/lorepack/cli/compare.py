"""How a comparison of adapters looks on a terminal: tables of at most 80 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lorepack.packing.comparison import ComparisonResult

WIDTH = 80
_PAIRS = 10
_COLUMNS = (
    ("reliab.", "reliability", "share"),
    ("general.", "generality", "share"),
    ("worse", "spillover_negative", "share"),
    ("better", "spillover_positive", "share"),
    ("KL", "neutral_kl", "real"),
    ("refusals", "refusals_after", "count"),
)
"""title, figure and how it is written"""


def show_comparison(result: ComparisonResult) -> None:
    """Print the table, the surest differences, the notes, and where the page is."""
    found = result.document
    several = found["model"] is None
    names = [(row["name"], row["base"]) for row in found["rows"]]
    lines = [
        [f"{name} ({base})" if several else name, *_figures(row, several)]
        for (name, base), row in zip(names, found["rows"], strict=True)
    ]
    for group in found["groups"]:
        means = {figure: part["mean"] for figure, part in group.items() if isinstance(part, dict)}
        lines.append([f"= {group['name']}", *_figures(means, several)])
    titles = [title for title, _, _ in _COLUMNS]
    grid(["adapter", *([*titles[:-1], "known"] if several else titles)], lines)
    _show_pairs(found["pairs"])
    for note in result.notes:
        click.echo(f"note: {note}")
    click.echo(f"page: {result.page}\n{result.seconds:.0f} s")


def _figures(row: Mapping[str, Any], several: bool) -> list[str]:
    columns = _COLUMNS[:-1] if several else _COLUMNS
    cells = [_written(row.get(figure), form) for _, figure, form in columns]
    if several:  # each beside its own base
        before, after = (
            _written(row.get(f"known_{when}"), "share") for when in ("before", "after")
        )
        cells.append(f"{before}→{after}")
    return cells


def _show_pairs(pairs: Sequence[Mapping[str, Any]]) -> None:
    """The pairs that differ most surely."""
    surest = sorted(pairs, key=lambda pair: (pair["holm"], pair["p"]))[:_PAIRS]
    if not surest:
        return
    click.echo("")
    rows = [
        [pair["a"], pair["b"], pair["set"], str(pair["facts"]), str(pair["only_a"]),
         str(pair["only_b"]), f"{pair['p']:.2g}", f"{pair['holm']:.2g}"]
        for pair in surest
    ]  # fmt: skip
    grid(["first", "second", "facts", "of", "1st only", "2nd only", "p", "Holm"], rows, left=3)
    if len(pairs) > len(surest):
        click.echo(f"{len(pairs) - len(surest)} further pairs: see the page")


def show_edits(found: Mapping[str, Any], out: str) -> None:
    """Print what became of the edits, the base beside the adapters."""
    columns = (
        ("full", "efficacy", "full_token"),
        ("first", "efficacy", "first_token"),
        ("P>", "efficacy", "probability"),
        ("para P>", "paraphrase", "probability"),
        ("near P>", "neighbourhood", "probability"),
        ("near same", "neighbourhood", "unchanged"),
        ("one-hop", "portability", "answered"),
    )
    models: list[tuple[str, Mapping[str, Any]]] = [("base", found["base"])]
    for name, figures in found["adapters"].items():
        models.append((name, figures))
        if figures["trained"]:
            number = figures["trained"]["edits"]
            models.append((f"  trained {number}", figures["trained"]["adapter"]))
            models.append(("  base on these", figures["trained"]["base"]))
    rows = [
        [name, *(_written(_mean(part[kind].get(figure)), "share") for _, kind, figure in columns)]
        for name, part in models
    ]
    click.echo(f"{found['edits']} edits")
    grid(["model", *(title for title, _, _ in columns)], rows)
    for note in found["notes"]:
        click.echo(f"note: {note}")
    click.echo(f"edits: {Path(out) / 'edits.json'}")


def _mean(estimate: Mapping[str, Any] | None) -> float | None:
    return None if estimate is None else float(estimate["mean"])


def _written(value: float | None, form: str) -> str:
    if value is None:
        return "–"
    if form == "share":
        return f"{100 * value:.1f}%"
    return f"{value:.3g}" if form == "real" else f"{round(value):,}"


def grid(titles: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """Print aligned columns; the first ``left`` of them shrink until a line has `WIDTH` columns."""
    widths = [max(len(line[i]) for line in [titles, *rows]) for i in range(len(titles))]
    for _ in range(sum(widths)):
        if sum(widths) + 2 * (len(widths) - 1) <= WIDTH:
            break
        widest = max(range(left), key=lambda i: widths[i])
        if widths[widest] <= 4:
            break
        widths[widest] -= 1
    for number, line in enumerate([titles, *rows]):
        cells = [
            _cut(cell, width).ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())
        if number == 0:
            click.echo("─" * (sum(widths) + 2 * (len(widths) - 1)))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
