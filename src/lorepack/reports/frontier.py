"""The chart of a budget: what every checkpoint keeps and costs at every strength, and the choice.

See `lorepack.reports.charts` for how colours are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lorepack.reports import figures as fig
from lorepack.reports.charts import frame

HEIGHT = 250
"""of one measure's panel"""
NAMES = {
    "neutral_kl": "KL to the base on neutral text, nats a token",
    "negative_shift": "untrained facts known worse than before",
    "refusals": "answers that refuse",
    "perplexity": "perplexity on neutral text, after / before",
}
SHARES = ("negative_shift", "refusals")


def frontier(budget: Mapping[str, Any]) -> dict[str, Any]:
    """Reliability against each limited measure, a panel below the other.

    Points of one checkpoint are joined in the order of their strength; the limit is a dashed
    line, the chosen point a star.

    Args:
        budget: ``budget.json``.

    Returns:
        A Plotly figure (``data`` and ``layout``).
    """
    measures = sorted(budget["limits"])
    layout = frame(HEIGHT * len(measures) + 20)
    axes = layout.pop("xaxis"), layout.pop("yaxis")
    data: list[dict[str, Any]] = []
    layout["shapes"] = []
    for number, measure in enumerate(measures):
        end = str(number + 1) if number else ""
        top = 1 - number / len(measures)
        bottom = top - 0.72 / len(measures)
        title = {"text": NAMES.get(measure, f"change of {measure}"), "standoff": 6}
        layout[f"xaxis{end}"] = {**axes[0], "title": title, "anchor": f"y{end}"}
        layout[f"xaxis{end}"] |= {"ticksuffix": f"{fig.SPACE}%"} if measure in SHARES else {}
        layout[f"yaxis{end}"] = {
            **axes[1], "domain": [max(0.0, bottom), top], "range": [-3, 106],
            "ticksuffix": f"{fig.SPACE}%", "anchor": f"x{end}",
        }  # fmt: skip
        data += _panel(budget, measure, end)
        limit = _at(measure, budget["limits"][measure])
        layout["shapes"].append(
            {
                "type": "line",
                "xref": f"x{end}",
                "yref": f"y{end} domain",
                "x0": limit,
                "x1": limit,
                "y0": 0,
                "y1": 1,
                "line": {"color": "@ink", "width": 1.2, "dash": "dash"},
            }
        )
    return {"data": data, "layout": layout}


def _panel(budget: Mapping[str, Any], measure: str, end: str) -> list[dict[str, Any]]:
    groups: dict[tuple[str, bool], list[Mapping[str, Any]]] = {}
    for point in budget["points"]:
        groups.setdefault((str(point["checkpoint"]), point["layers"] is None), []).append(point)
    lines = []
    for (checkpoint, alike), points in groups.items():
        color = "@after" if checkpoint == "final" else "@before"
        name = f"checkpoint {checkpoint}" + ("" if alike else ", layers apart")
        trace = _trace(points, measure, end, name, color)
        trace |= {"mode": "lines+markers" if alike else "markers"}
        lines.append(trace)
    if budget["chosen"] is not None:
        star = _trace([budget["points"][budget["chosen"]]], measure, end, "chosen", "@ink")
        star |= {"mode": "markers", "marker": {"color": "@ink", "size": 15, "symbol": "star"}}
        lines.append(star)
    return lines


def _trace(
    points: Sequence[Mapping[str, Any]], measure: str, end: str, name: str, color: str
) -> dict[str, Any]:
    told = [point["layers"] or f"{point['strength']:g}" for point in points]
    return {
        "type": "scatter",
        "name": name,
        "xaxis": f"x{end}",
        "yaxis": f"y{end}",
        "x": [_at(measure, point["measures"][measure]) for point in points],
        "y": [round(100 * point["reliability"], 3) for point in points],
        "customdata": told,
        "line": {"color": color, "width": 1.6},
        "marker": {
            "color": color,
            "size": 7,
            "symbol": ["circle" if point["holds"] else "circle-open" for point in points],
        },
        "hovertemplate": f"{name}, strength %{{customdata}}<br>%{{x:.4g}}: %{{y:.1f}}"
        "<extra></extra>",
    }


def _at(measure: str, value: float) -> float:
    """Shares in percent."""
    return round(100 * value, 6) if measure in SHARES else value
