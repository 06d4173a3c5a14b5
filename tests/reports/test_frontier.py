"""The frontier chart says what budget.json says."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest

from lorepack.reports.frontier import frontier


def point(checkpoint, strength, reliability, kl, shift, layers=None):
    return {
        "checkpoint": checkpoint, "strength": strength, "layers": layers,
        "reliability": reliability, "measures": {"neutral_kl": kl, "negative_shift": shift},
        "holds": kl <= 0.02 and shift <= 0.1,
    }  # fmt: skip


BUDGET = {
    "limits": {"neutral_kl": 0.02, "negative_shift": 0.1},
    "points": [
        point(3, 0.5, 0.4, 0.01, 0.05),
        point(3, 1.0, 0.8, 0.04, 0.15),
        point("final", 0.5, 0.7, 0.015, 0.08),
        point("final", 1.0, 1.0, 0.05, 0.2),
        point("final", 0.5, 0.75, 0.018, 0.09, "lower 0.5, middle 0.5, upper 0.6"),
    ],
    "chosen": 4,
}


def of_panel(figure, axis):
    return [trace for trace in figure["data"] if trace["xaxis"] == axis]


def test_every_point_stands_in_the_panel_of_every_limit():
    figure = frontier(BUDGET)
    for axis, measure, scale in (("x", "negative_shift", 100), ("x2", "neutral_kl", 1)):
        *lines, star = of_panel(figure, axis)
        drawn = sorted((x, y) for line in lines for x, y in zip(line["x"], line["y"], strict=True))
        want = sorted(
            (scale * p["measures"][measure], 100 * p["reliability"]) for p in BUDGET["points"]
        )
        assert np.array(drawn) == pytest.approx(np.array(want))
        assert star["marker"]["symbol"] == "star"
        assert star["y"] == [75.0]
        assert star["customdata"] == ["lower 0.5, middle 0.5, upper 0.6"]


def test_limits_are_lines_and_points_beyond_them_are_hollow():
    figure = frontier(BUDGET)
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [10, 0.02]
    first = of_panel(figure, "x")[0]
    assert first["marker"]["symbol"] == ["circle", "circle-open"]


def coloured(value):
    """Names of colours as a page would put them in."""
    if isinstance(value, dict):
        return {key: coloured(part) for key, part in value.items()}
    if isinstance(value, list):
        return [coloured(part) for part in value]
    return "#123456" if isinstance(value, str) and value.startswith("@") else value


@pytest.mark.parametrize("chosen", [None, 0])
def test_it_is_a_figure_that_plotly_accepts(chosen):
    figure = frontier({**BUDGET, "chosen": chosen})
    drawn = go.Figure(coloured(figure))
    assert len(drawn.data) == len(figure["data"])
    assert any(trace.name == "chosen" for trace in drawn.data) == (chosen is not None)
