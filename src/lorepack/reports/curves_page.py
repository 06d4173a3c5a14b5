"""The page of curves: what adapters learn and cost as facts are added, seeds as bands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from markupsafe import Markup

from lorepack import files
from lorepack.reports import figures as fig
from lorepack.reports.charts import frame
from lorepack.reports.curves_file import Curves, read_curves
from lorepack.reports.page import embedded, environment, plotly_source, template


def curves_page(out: Path | str) -> Path:
    """Write the page of a folder that holds ``curves.json``.

    Returns:
        The path of ``curves.html``: one file of about 5 MB; equal files give equal bytes.

    Raises:
        NotFoundError: there are no curves.
        InputError: the file is broken.
    """
    out = Path(out)
    path = out / "curves.html"
    files.write_text(path, render(read_curves(out)))
    return path


def render(curves: Curves) -> str:
    """The page as HTML."""
    drawn = {
        **{f"chart-figure-{n}": against(curves, f) for n, f in enumerate(curves.measured)},
        **{f"chart-epochs-{size}": by_epoch(curves, size) for size in learning(curves)},
    }
    page = environment(autoescape=True).from_string(template("curves.html"))
    return page.render(
        curves=curves,
        learning=learning(curves),
        seeds=len({cell.seed for cell in curves.cells}),
        table=[_row(curves, mix, size) for size in curves.sizes for mix in curves.mixes],
        style=Markup(template("style.css")),
        script=Markup(template("charts.js")),
        figures=embedded(drawn),
        plotly=Markup(plotly_source()),
    )


def learning(curves: Curves) -> list[int]:
    """Sizes whose reliability was measured after epochs."""
    return [
        size
        for size in curves.sizes
        if any(c.unknown == size and any(v is not None for v in c.epochs) for c in curves.cells)
    ]


def against(curves: Curves, figure: str) -> dict[str, Any]:
    """One figure against the number of new facts, a line a kind of mix, the base as a level."""
    layout = frame(height=300)
    layout["xaxis"] |= {"type": "log", "title": {"text": "new facts"}, "showgrid": False}
    layout["xaxis"] |= {"tickvals": curves.sizes, "ticktext": [fig.count(n) for n in curves.sizes]}
    layout["yaxis"] |= {"automargin": True}
    data = _bands(curves, lambda mix: _points(curves, mix, figure))
    if figure in curves.base:
        level = curves.base[figure]
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": "base",
                "x": [curves.sizes[0], curves.sizes[-1]],
                "y": [level, level],
                "line": {"color": "@muted", "width": 1.2, "dash": "dot"},
                "hovertemplate": "base: %{y:.4g}<extra></extra>",
            }
        )
    return {"data": data, "layout": layout}


def by_epoch(curves: Curves, size: int) -> dict[str, Any]:
    """Reliability after each epoch of the mixes of one size."""

    def points(mix: str) -> list[tuple[float, Sequence[float]]]:
        rows = [c.epochs for c in curves.cells if c.mix == mix and c.unknown == size]
        longest = max((len(row) for row in rows), default=0)
        found = (
            (epoch + 1, [row[epoch] for row in rows if epoch < len(row)])
            for epoch in range(longest)
        )
        return [(x, kept) for x, v in found if (kept := [y for y in v if y is not None])]

    layout = frame(height=260)
    layout["xaxis"] |= {"title": {"text": "epoch"}, "showgrid": False, "automargin": True}
    layout["yaxis"] |= {"range": [-0.03, 1.04], "automargin": True}
    return {"data": _bands(curves, points), "layout": layout}


def _points(curves: Curves, mix: str, figure: str) -> list[tuple[float, Sequence[float]]]:
    found = ((size, curves.values(mix, size, figure)) for size in curves.sizes)
    return [(size, values) for size, values in found if values]


def _bands(
    curves: Curves, points: Callable[[str], list[tuple[float, Sequence[float]]]]
) -> list[dict[str, Any]]:
    """Of every kind of mix a band from the smallest to the largest seed, and the mean."""
    data = []
    for number, mix in enumerate(curves.mixes):
        found = points(mix)
        if not found:
            continue
        x = [place for place, _ in found]
        edge: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0}}
        edge |= {"hoverinfo": "skip", "showlegend": False}
        fill = {"fill": "tonexty", "fillcolor": f"@band{number}"}
        data.append({**edge, "y": [round(max(values), 6) for _, values in found]})
        data.append({**edge, **fill, "y": [round(min(values), 6) for _, values in found]})
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": mix,
                "x": x,
                "y": [round(mean(values), 6) for _, values in found],
                "line": {"color": f"@line{number}", "width": 2},
                "marker": {"color": f"@line{number}", "size": 6},
                "hovertemplate": f"{mix}, %{{x}}: %{{y:.4g}}<extra></extra>",
            }
        )
    return data


def _row(curves: Curves, mix: str, size: int) -> dict[str, Any]:
    shown = [_spread(curves.values(mix, size, name)) for name in curves.measured]
    return {"size": fig.count(size), "mix": mix, "figures": shown}


def _spread(values: Sequence[float]) -> str:
    """Mean, with the smallest and the largest where they differ."""
    if not values:
        return "–"
    middle = fig.real(mean(values))
    low, high = fig.real(min(values)), fig.real(max(values))
    return middle if low == high else f"{middle} ({low}–{high})"
