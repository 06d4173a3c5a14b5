"""Reliability against harm, over checkpoints and strengths, with the limits of a budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lorepack.reports.budget_file import named
from lorepack.reports.charts import frame
from lorepack.reports.figures import SPACE


def frontier(budget: dict[str, Any]) -> dict[str, Any]:
    """The points of a budget, one panel a limited measure.

    Args:
        budget: the JSON of ``budget.json``.

    Returns:
        A Plotly figure (``data`` and ``layout``): harm along x, reliability in percent along y,
        limits as lines, points within all limits filled, the chosen one marked.
    """
    measures = sorted(budget.get("limits") or {}) or _measured(budget)
    panels = max(1, len(measures))
    layout = frame(height=320)
    layout["grid"] = {"rows": 1, "columns": panels, "pattern": "coupled", "xgap": 0.12}
    layout["margin"] = {"l": 52, "r": 14, "t": 12, "b": 52}
    layout["yaxis"] |= {"ticksuffix": f"{SPACE}%", "title": {"text": "reliability"}}
    data: list[dict[str, Any]] = []
    shapes: list[dict[str, Any]] = []
    for number, measure in enumerate(measures, 1):
        axis = "" if number == 1 else str(number)
        layout[f"xaxis{axis}"] = dict(layout["xaxis"]) | {"title": {"text": named(measure)}}
        data += _panel(budget, measure, f"x{axis}")
        limit = (budget.get("limits") or {}).get(measure)
        if limit is not None:
            shapes.append(_limit(limit, f"x{axis}"))
    layout["shapes"] = shapes
    return {"data": data, "layout": layout}


def _measured(budget: Mapping[str, Any]) -> list[str]:
    return sorted({name for point in budget.get("points") or () for name in point["measures"]})


def _panel(budget: Mapping[str, Any], measure: str, axis: str) -> list[dict[str, Any]]:
    points = [
        (index, point)
        for index, point in enumerate(budget.get("points") or ())
        if point["measures"].get(measure) is not None and point.get("reliability") is not None
    ]
    chosen = [pair for pair in points if pair[0] == budget.get("chosen")]
    out = [pair for pair in points if not pair[1].get("holds")]
    within = [pair for pair in points if pair[1].get("holds")]
    return [
        _dots(out, measure, axis, "outside the limits", "circle-open", 8, "@muted"),
        _dots(within, measure, axis, "within the limits", "circle", 8, "@after"),
        _dots(chosen, measure, axis, "chosen", "diamond", 15, "@mixed"),
    ]


def _dots(
    points: list[tuple[int, dict[str, Any]]], measure: str, axis: str, name: str, symbol: str,
    size: int, color: str,
) -> dict[str, Any]:  # fmt: skip
    line = {"color": "@ink" if name == "chosen" else color, "width": 1.6}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [point["measures"][measure] for _, point in points],
        "y": [round(100 * point["reliability"], 3) for _, point in points],
        "text": [
            f"checkpoint {point['checkpoint']}, strength {point['strength']:g}"
            for _, point in points
        ],
        "xaxis": axis,
        "yaxis": "y",
        "marker": {"symbol": symbol, "size": size, "color": color, "line": line},
        "hovertemplate": f"{name}: %{{text}}<br>%{{x:.4g}}, %{{y:.1f}}<extra></extra>",
    }


def _limit(limit: float, axis: str) -> dict[str, Any]:
    return {
        "type": "line",
        "xref": axis,
        "yref": "paper",
        "x0": limit,
        "x1": limit,
        "y0": 0,
        "y1": 1,
        "line": {"color": "@bad", "width": 1.5, "dash": "dash"},
    }
