"""The charts as Plotly figures: plain JSON, with names in place of colours.

A colour is written ``@name``; the page's script puts in what the style sheet says that name is in
the light or the dark scheme, so one figure serves both. Text of the facts never reaches a chart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lorepack.reports import figures as fig

POINTS = 600
"""points a curve is drawn with at most"""


def charts(
    steps: Sequence[Mapping[str, Any]], epochs: Sequence[Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    """The charts of the training, by the id of the element that holds them.

    Args:
        steps: one object a training step, with ``step`` and ``loss``.
        epochs: one object an epoch, with ``epoch`` and perhaps ``reliability``.

    Returns:
        id to a Plotly figure (``data`` and ``layout``); a chart without data is left out.
    """
    figures = {}
    if steps:
        figures["chart-loss"] = loss_curve(steps)
    curve = [
        (row["epoch"], row["reliability"]) for row in epochs if row.get("reliability") is not None
    ]
    if curve:
        figures["chart-epochs"] = epoch_curve(curve)
    return figures


def epoch_curve(curve: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """Reliability after every epoch."""
    layout = frame(height=280)
    layout["xaxis"] |= {"title": {"text": "epoch"}, "dtick": max(1, len(curve) // 10)}
    layout["yaxis"] |= {"range": [0, 103], "ticksuffix": f"{fig.SPACE}%"}
    line = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [epoch for epoch, _ in curve],
        "y": [round(100 * value, 3) for _, value in curve],
        "line": {"color": "@after", "width": 2.5},
        "marker": {"color": "@after", "size": 7},
        "hovertemplate": "epoch %{x}: %{y:.1f}<extra></extra>",
    }
    return {"data": [line], "layout": layout}


def loss_curve(steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Training loss by step; long curves as means over equal blocks of steps."""
    points, _ = thinned([(float(row["step"]), float(row["loss"])) for row in steps])
    layout = frame(height=280)
    layout["xaxis"] |= {"title": {"text": "step"}, "rangemode": "tozero"}
    if len(steps) <= 10:
        layout["xaxis"]["dtick"] = 1  # no half steps
    layout["yaxis"] |= {"rangemode": "tozero"}
    line = {
        "type": "scatter",
        "mode": "lines" if len(points) > 1 else "markers",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"color": "@after", "width": 1.8},
        "marker": {"color": "@after", "size": 7},
        "hovertemplate": "step %{x:.0f}: %{y:.3f}<extra></extra>",
    }
    return {"data": [line], "layout": layout}


def thinned(
    points: Sequence[tuple[float, float]], most: int = POINTS
) -> tuple[list[tuple[float, float]], int]:
    """At most ``most`` points, each the mean of a block of neighbours.

    Args:
        points: (x, y) in order.
        most: points to keep.

    Returns:
        The points and how many neighbours each stands for.
    """
    block = -(-len(points) // most) if points else 1
    blocks = (points[i : i + block] for i in range(0, len(points), block))
    means = [
        (round(sum(x for x, _ in b) / len(b), 2), round(sum(y for _, y in b) / len(b), 6))
        for b in blocks
    ]
    return means, block


def frame(height: int) -> dict[str, Any]:
    """The layout that all charts share."""
    axis = {"gridcolor": "@line", "linecolor": "@line", "zerolinecolor": "@line",
            "tickfont": {"color": "@muted", "size": 12}, "automargin": False}  # fmt: skip
    return {
        "height": height,
        "margin": {"l": 48, "r": 12, "t": 10, "b": 44},
        "paper_bgcolor": "@clear",
        "plot_bgcolor": "@clear",
        "font": {"color": "@muted", "size": 12},
        "hoverlabel": {"bgcolor": "@surface", "bordercolor": "@line", "font": {"color": "@ink"}},
        "showlegend": False,
        "xaxis": dict(axis),
        "yaxis": dict(axis),
    }
