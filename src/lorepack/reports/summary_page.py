"""The page about many jobs: one HTML file that opens anywhere, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from lorepack import files
from lorepack.reports import figures as fig
from lorepack.reports.page import embedded, environment, plotly_source, template
from lorepack.reports.summary_charts import CURVES, charts, coloured_by, effects
from lorepack.reports.summary_file import FIGURES, Found, JobRow, Summary, label, read_summary
from lorepack.reports.tiles import Tile


def summary_page(out: Path | str) -> Path:
    """Write the page about a folder of jobs.

    Args:
        out: holds ``summary.json``, and each job's folder.

    Returns:
        The path of ``summary.html``: one file of about 5 MB with everything inside. Equal result
        files give equal bytes; only durations come from ``timing.json``.

    Raises:
        NotFoundError: there is no summary.
        InputError: a file is broken.
    """
    out = Path(out)
    found = read_summary(out)
    path = out / "summary.html"
    names = (row.name for row in found.summary.rows)
    reported = {name for name in names if (out / name / "report.html").is_file()}
    files.write_text(path, render(found, reported))
    return path


def render(found: Found, reported: set[str]) -> str:
    """The page as HTML.

    Args:
        found: the summary and its curves.
        reported: names of the jobs that have a report of their own.
    """
    summary = found.summary
    figures = charts(summary, found.steps)
    shown = [name for name in FIGURES if any(name in row.figures for row in summary.rows)]
    page = environment(autoescape=True).from_string(template("summary.html"))
    return page.render(
        summary=summary,
        sentence=_sentence(summary),
        tiles=_tiles(found),
        columns=[FIGURES[name][0] for name in shown],
        rows=[_cells(summary, row, shown) for row in summary.rows],
        reported={name: f"{quote(name)}/report.html" for name in reported},
        failed=[row for row in summary.rows if row.error is not None],
        colours=coloured_by(summary),
        curves=min(len(found.steps), CURVES),
        effects=[(key, FIGURES[name][0]) for key, name in effects(summary)],
        seconds=tuple((k, fig.duration(s)) for k, s in sorted(found.seconds.items())),
        charts=frozenset(figures),
        style=Markup(template("style.css")),
        script=Markup(template("charts.js")),
        figures=embedded(figures),
        plotly=Markup(plotly_source()),
    )


def _cells(summary: Summary, row: JobRow, shown: list[str]) -> dict[str, Any]:
    settings = [fig.short(label(row.settings.get(key)), 60) for key in summary.keys]
    return {
        "name": row.name,
        "settings": settings,
        "figures": [_written(name, row.figures.get(name)) for name in shown],
        "failed": row.error is not None,
    }


def _written(name: str, value: float | int | None) -> str:
    if value is None:
        return "–"
    form = FIGURES[name][1]
    if form == "share":
        return fig.percent(value)
    return fig.count(int(value)) if form == "count" else fig.real(value)


def _main(summary: Summary) -> str:
    """The figure that says how much was learned."""
    return "reliability" if summary.kind == "grid" else "recall"


def _sentence(summary: Summary) -> str:
    rows, done, name = summary.rows, summary.done, _main(summary)
    count = f"{fig.count(len(rows))} {'adapter' if len(rows) == 1 else 'adapters'}"
    said = f"**{count}** on **{Path(str(summary.model.get('name'))).name}**"
    if len(done) < len(rows):
        said += f", of which **{fig.count(len(rows) - len(done))} failed**"
    values = [value for row in done if (value := row.figures.get(name)) is not None]
    if not values:
        return f"{said}; {name} was not measured."
    if len(values) == 1:
        return f"{said}; {name} **{fig.percent(values[0])}**."
    return f"{said}; {name} from **{fig.percent(min(values))}** to **{fig.percent(max(values))}**."


def _tiles(found: Found) -> list[Tile]:
    rows, done, name = found.summary.rows, found.summary.done, _main(found.summary)

    def mean(figure: str) -> float | None:
        values = [value for row in done if (value := row.figures.get(figure)) is not None]
        return sum(values) / len(values) if values else None

    def total(figure: str) -> str:
        return fig.count(int(sum(row.figures.get(figure) or 0 for row in done)))

    train = found.seconds.get("train")
    each = f"{fig.duration(train / len(done))} a job" if train and done else ""
    return [
        Tile("Jobs", fig.count(len(rows)), f"{fig.count(len(rows) - len(done))} failed"),
        Tile(f"Mean {name}", fig.percent(mean(name)), f"{FIGURES[name][0].lower()} over jobs"),
        Tile("Mean final loss", fig.real(mean("loss")), "nats a token, last epoch"),
        Tile("Steps", total("steps"), "of all jobs"),
        Tile("Parameters", total("parameters"), "trained, of all jobs"),
        Tile("Training", fig.duration(train) if train else fig.NOT_MEASURED, each),
    ]
