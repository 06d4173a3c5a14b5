"""The charts of the page about a file of facts; see `lorepack.reports.charts`."""

from __future__ import annotations

import math
from typing import Any

from lorepack.facts.looking import Statistics
from lorepack.facts.looking.formats import ValueFormat
from lorepack.facts.looking.lengths import LengthSummary
from lorepack.facts.looking.popularity import PopularitySummary
from lorepack.reports.charts import frame

FORMATS = 6
"""formats that get a chart"""
_PLACES = 64
_FEW = 9
LENGTHS = tuple(
    (f"chart-{name}-{unit}", name, unit)
    for name in ("question", "answer")
    for unit in ("characters", "tokens")
)
"""``(id, field, unit)`` of the charts of lengths"""


def charts(found: Statistics) -> dict[str, dict[str, Any]]:
    """All charts by the id of the element that holds them; one without data is left out."""
    figures = {name: length_bars(found.lengths[field][unit], unit) for name, field, unit in LENGTHS}
    if found.popularity is not None:
        figures["chart-popularity"] = popularity_bars(found.popularity)
    for number, one in enumerate(found.formats[:FORMATS]):
        figures[f"chart-format-{number}"] = place_bars(one)
    return figures


def length_bars(lengths: LengthSummary, unit: str) -> dict[str, Any]:
    """Texts by length."""
    layout = frame(height=220)
    layout |= {"bargap": 0.06}
    layout["xaxis"] |= {"title": {"text": unit}, "showgrid": False}
    layout["yaxis"] |= {"rangemode": "tozero", "tickformat": ",", "automargin": True}
    spans = [f"{a:,}" if a == b else f"{a:,} to {b:,}" for a, b, _ in lengths.histogram]
    if len(spans) < _FEW:  # few bars are as wide as those of many
        middle = (lengths.least + lengths.most) / 2
        layout["xaxis"]["range"] = [middle - _FEW / 2, middle + _FEW / 2]
    if len(spans) <= 12:
        layout["xaxis"] |= {"tickmode": "array", "tickvals": _middles(lengths), "ticktext": spans}
    bars = _bars(_middles(lengths), [n for _, _, n in lengths.histogram], spans)
    return {"data": [bars], "layout": layout}


def _middles(lengths: LengthSummary) -> list[float]:
    return [(a + b) / 2 for a, b, _ in lengths.histogram]


def popularity_bars(popularity: PopularitySummary) -> dict[str, Any]:
    """Facts by popularity, over half decades."""
    layout = frame(height=280)
    layout |= {"bargap": 0.06}
    places = list(range(len(popularity.histogram)))
    spans = [f"{_plain(a)} to {_plain(b)}" if b else "≤ 0" for a, b, _ in popularity.histogram]
    ticks = [_plain(a) if b else "≤ 0" for a, b, _ in popularity.histogram]
    every = -(-len(ticks) // 6)  # as many as a telephone shows side by side
    layout["xaxis"] |= {
        "title": {"text": "popularity from"}, "showgrid": False, "tickmode": "array",
        "tickvals": places[::every], "ticktext": ticks[::every], "tickangle": 0,
    }  # fmt: skip
    layout["yaxis"] |= {"rangemode": "tozero", "tickformat": ",", "automargin": True}
    bars = _bars(places, [n for _, _, n in popularity.histogram], spans)
    return {"data": [bars], "layout": layout}


def _plain(value: float) -> str:
    return f"{value:,.0f}" if 10 <= value < 1e9 else f"{value:g}"


def place_bars(one: ValueFormat) -> dict[str, Any]:
    """The bits of every place of a format, before what its signs could carry."""
    places = one.places[:_PLACES]
    numbers = list(range(1, len(places) + 1))
    layout = frame(height=220)
    layout |= {"bargap": 0.2, "barmode": "overlay"}
    layout["xaxis"] |= {"title": {"text": "place"}, "showgrid": False}
    if len(places) <= 20:
        layout["xaxis"]["dtick"] = 1
    layout["yaxis"] |= {"rangemode": "tozero", "title": {"text": "bits"}}
    full = [round(math.log2(len(place.signs)), 4) for place in places]
    limits = _bars(numbers, full, [f"{bits:.3f}" for bits in full])
    limits |= {"marker": {"color": "@before"}, "hoverinfo": "skip", "hovertemplate": None}
    bits = [round(place.bits, 4) for place in places]
    said = [f"{b:.3f} of {f:.3f} bits" for b, f in zip(bits, full, strict=True)]
    found = _bars(numbers, bits, said)
    found |= {"hovertemplate": "place %{x}: %{customdata}<extra></extra>", "width": 0.5}
    return {"data": [limits, found], "layout": layout}


def _bars(x: list[Any], y: list[Any], said: list[str]) -> dict[str, Any]:
    return {
        "type": "bar",
        "x": x,
        "y": y,
        "customdata": said,
        "marker": {"color": "@after"},
        "hovertemplate": "%{customdata}: %{y:,}<extra></extra>",
    }
