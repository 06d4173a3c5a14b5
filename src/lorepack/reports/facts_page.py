"""The page about a file of facts: one HTML file that opens anywhere, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from lorepack import files
from lorepack.facts.looking import Statistics
from lorepack.reports import figures as fig
from lorepack.reports.facts_charts import LENGTHS, charts
from lorepack.reports.page import embedded, environment, plotly_source, template
from lorepack.reports.tables import Table
from lorepack.reports.tiles import Tile

RELATIONS = 200
"""relations a page lists, the largest first"""


def facts_page(found: Statistics, path: Path | str) -> Path:
    """Write the page about a file of facts.

    Args:
        found: what `lorepack.facts.looking.stats` counted.
        path: of the page.

    Returns:
        The path: one file of about 5 MB with everything inside. Equal numbers, equal bytes.

    Raises:
        WriteError: no space, no permission.
    """
    path = Path(path)
    files.write_text(path, render(found))
    return path


def render(found: Statistics) -> str:
    """The page as HTML."""
    figures = charts(found)
    page = environment(autoescape=True).from_string(template("facts.html"))
    return page.render(
        found=found,
        name=Path(found.file).name,
        sentence=_sentence(found),
        tiles=_tiles(found),
        relations=found.relations[:RELATIONS],
        answers=[(text, times) for text, times in found.answers.top if times > 1],
        widest=max(one.facts for one in found.relations),
        lengths=_lengths(found),
        length_charts=LENGTHS,
        popularity=_popularity(found),
        formats=found.formats,
        labels=found.labels,
        bits=_bits,
        number=_number,
        charts=frozenset(figures),
        style=Markup(template("style.css")),
        script=Markup(template("charts.js")),
        figures=embedded(figures),
        plotly=Markup(plotly_source()),
    )


def _sentence(found: Statistics) -> str:
    top, count = found.answers.top[0]
    relations = found.distinct["relations"].count
    over = f" over **{fig.count(relations)} relations**" if relations > 1 else ""
    answers = _number(found.distinct["answers"])
    said = f"**{fig.facts(found.facts)}**{over}, **{answers} different answers**"
    if count / found.facts < 0.01:
        return f"{said}; none stands for more than **{fig.facts(count)}**."
    return (
        f"{said}; the most frequent one, “{fig.short(top, 60)}”, stands for "
        f"**{fig.percent(count / found.facts)}**."
    )


def _tiles(found: Statistics) -> list[Tile]:
    def of(number: int) -> str:
        return f"{fig.percent(number / found.facts)} of the facts"

    questions, subjects = found.distinct["questions"], found.distinct["subjects"]
    tiles = [
        Tile("Facts", fig.count(found.facts), f"{_number(questions)} different questions"),
        Tile("Different answers", _number(found.distinct["answers"]), "in normal form"),
        Tile("Subjects", _number(subjects) if subjects.count else "none named", "different ones"),
        Tile("With aliases", fig.count(found.with_aliases), of(found.with_aliases)),
        Tile("With paraphrases", fig.count(found.with_paraphrases), of(found.with_paraphrases)),
    ]
    totals = [total for one in found.formats if (total := one.total) is not None]
    random = f"{fig.count(round(sum(totals)))} bits" if totals else "none found"
    return [*tiles, Tile("Random values", random, "all values together" if totals else "")]


def _number(number: Any) -> str:
    return ("" if number.exact else "≈" + fig.SPACE) + fig.count(number.count)


def _bits(value: float | None) -> str:
    return "not known" if value is None else f"{value:.2f}"


def _lengths(found: Statistics) -> Table:
    rows = tuple(
        (
            f"{name.capitalize()}, {unit}",
            *map(fig.count, (one.least, one.median)),
            f"{one.mean:.1f}",
            *map(fig.count, (one.high, one.most, one.total)),
        )
        for name, units in found.lengths.items()
        for unit, one in units.items()
    )
    columns = ("", "Least", "Median", "Mean", "95 of 100 up to", "Most", "All together")
    return Table("Lengths", columns, rows)


def _popularity(found: Statistics) -> Table | None:
    popularity = found.popularity
    if popularity is None:
        return None
    names = {"0": "Least", "0.5": "Median", "1": "Most"}
    columns = ("", *(names.get(q, f"{float(q):.0%} up to") for q in popularity.quantiles))
    values = ("Popularity", *(f"{value:,.6g}" for value in popularity.quantiles.values()))
    return Table("Popularity", columns, (values,))
