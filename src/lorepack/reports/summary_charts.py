"""The charts of the page about many jobs; see `lorepack.reports.charts`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from lorepack.reports import figures as fig
from lorepack.reports.charts import frame, thinned
from lorepack.reports.summary_file import FIGURES, JobRow, Summary, label

COLORS = 8
"""lines of different colour: ``@line0`` to ``@line7`` of the page's style"""
CURVES = 200
"""jobs whose loss is drawn, evenly chosen when there are more"""
_POINTS = 20_000  # of all curves together
_VALUES = 24  # of a setting, on one axis

Steps = Mapping[str, Sequence[tuple[float, float]]]
"""(step, loss) of each job, by name"""


def charts(found: Summary, steps: Steps) -> dict[str, dict[str, Any]]:
    """All charts by the id of the element that holds them; one without data is left out."""
    drawn = {"chart-loss": loss_curves(found, steps)} if steps else {}
    for number, (key, figure) in enumerate(effects(found)):
        drawn[f"chart-effect-{number}"] = effect(found.done, key, figure)
    return drawn


def coloured_by(found: Summary) -> tuple[str, list[str]] | None:
    """The setting that tells the curves apart by colour, and its values; None where none can."""
    for key in found.keys:
        values = list(dict.fromkeys(label(row.settings.get(key)) for row in found.rows))
        if 2 <= len(values) <= COLORS:
            return key, _ordered(values)
    return None


def loss_curves(found: Summary, steps: Steps) -> dict[str, Any]:
    """The training loss of every job by step, on a logarithmic scale."""
    chosen = _evenly([row for row in found.rows if steps.get(row.name)])
    most = max(20, _POINTS // max(1, len(chosen)))
    by = coloured_by(found)
    lines = []
    for row in chosen:
        points, _ = thinned(steps[row.name], most)
        color = by[1].index(label(row.settings.get(by[0]))) if by else 0
        lines.append(
            {
                "type": "scatter",
                "mode": "lines" if len(points) > 1 else "markers",
                "name": row.name,
                "x": [x for x, _ in points],
                "y": [y for _, y in points],
                "line": {"color": f"@line{color}", "width": 1.4},
                "marker": {"color": f"@line{color}", "size": 6},
                "hovertemplate": "%{fullData.name}<br>step %{x:.0f}: %{y:.3g}<extra></extra>",
            }
        )
    layout = frame(height=380)
    layout["xaxis"] |= {"title": {"text": "step"}, "rangemode": "tozero"}
    layout["yaxis"] |= {"type": "log", "title": {"text": "nats a token"}, "automargin": True}
    layout["yaxis"] |= {"exponentformat": "none", "dtick": _ticks(lines)}
    return {"data": lines, "layout": layout}


def _ticks(lines: Sequence[Mapping[str, Any]]) -> str | int:
    """Ticks of a logarithmic axis: at every digit, at 1, 2 and 5, or at powers of ten."""
    values = [y for line in lines for y in line["y"]]
    span = max(values, default=1) / min(values, default=1)
    return "D1" if span < 10 else "D2" if span < 1000 else 1


def _evenly(rows: Sequence[JobRow]) -> list[JobRow]:
    if len(rows) <= CURVES:
        return list(rows)
    return [rows[number * len(rows) // CURVES] for number in range(CURVES)]


def effects(found: Summary) -> list[tuple[str, str]]:
    """(setting, figure) of every chart: what varies, against what was measured of it."""
    rows = found.done
    keys = []
    for key in found.keys:
        values = {label(row.settings.get(key)) for row in rows}
        if 2 <= len(values) <= _VALUES and len(rows) > 1:
            keys.append(key)
    figures = [
        name
        for name, (_, form, charted) in FIGURES.items()
        if charted and any(row.figures.get(name) is not None for row in rows)
    ]
    return [(key, figure) for figure in figures for key in keys]


def effect(rows: Sequence[JobRow], key: str, figure: str) -> dict[str, Any]:
    """One figure by one setting: a dot a job, a line through the means."""
    share = FIGURES[figure][1] == "share"
    by: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        value = row.figures.get(figure)
        if value is not None:
            by[label(row.settings.get(key))].append(round(100 * value, 3) if share else value)
    values = _ordered(list(by))
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": [value for value in values for _ in by[value]],
        "y": [number for value in values for number in by[value]],
        "marker": {"color": "@before", "size": 7},
        "hovertemplate": "%{x}: %{y:.3g}<extra></extra>",
    }
    line = {
        "type": "scatter",
        "mode": "lines+markers" if _are_numbers(values) else "markers",
        "x": values,
        "y": [round(mean(by[value]), 6) for value in values],
        "line": {"color": "@after", "width": 2.5},
        "marker": {"color": "@after", "size": 8},
        "hovertemplate": "%{x}: mean %{y:.3g}<extra></extra>",
    }
    layout = frame(height=240)
    layout["xaxis"] |= {"type": "category", "showgrid": False, "title": {"text": key}}
    layout["xaxis"] |= {"automargin": True}
    layout["yaxis"] |= {"rangemode": "tozero", "automargin": True}
    if share:
        layout["yaxis"] |= {"ticksuffix": f"{fig.SPACE}%", "range": [-3, 104]}
    return {"data": [dots, line], "layout": layout}


def _ordered(values: Sequence[str]) -> list[str]:
    """Numbers by size; other values as they come."""
    return sorted(values, key=float) if _are_numbers(values) else list(values)


def _are_numbers(values: Sequence[str]) -> bool:
    try:
        return all(math.isfinite(float(value)) for value in values)
    except ValueError:
        return False
