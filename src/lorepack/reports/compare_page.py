"""The page that compares adapters: one table and one plot, in one file that opens anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from lorepack import files
from lorepack.reports import figures as fig
from lorepack.reports.charts import frame
from lorepack.reports.compare_file import (
    FIGURES,
    Comparison,
    Couple,
    Group,
    Line,
    Spread,
    read_comparison,
)
from lorepack.reports.page import embedded, environment, plotly_source, template

PAIRS = 200
"""pairs that are listed, the surest differences first"""
LEVEL = 0.05
COLORS = 8
"""groups of different colour: ``@line0`` to ``@line7`` of the page's style"""


def compare_page(out: Path | str) -> Path:
    """Write the page of a comparison.

    Args:
        out: holds ``compare.json``.

    Returns:
        The path of ``compare.html``: one file of about 5 MB with everything inside. Equal
        comparisons give equal bytes.

    Raises:
        NotFoundError: there is no comparison.
        InputError: it is broken.
    """
    out = Path(out)
    path = out / "compare.html"
    files.write_text(path, render(read_comparison(out)))
    return path


def render(found: Comparison) -> str:
    """The page as HTML."""
    shown = [name for name in FIGURES if any(getattr(row, name) is not None for row in found.rows)]
    drawn = scatter(found)
    figures = {} if drawn is None else {"chart-compare": drawn}
    pairs = sorted(found.pairs, key=lambda pair: (_sure(pair), pair.p, pair.a, pair.b))
    page = environment(autoescape=True).from_string(template("compare.html"))
    return page.render(
        found=found,
        sentence=_sentence(found),
        columns=[FIGURES[name][0] for name in shown],
        rows=[_cells(row, shown) for row in found.rows],
        groups=[_group_cells(group, shown) for group in found.groups],
        several=found.model is None,
        pairs=[_pair_cells(pair) for pair in pairs[:PAIRS]],
        further=max(0, len(pairs) - PAIRS),
        legend=_legend(found),
        notes=_notes(found),
        charts=frozenset(figures),
        style=Markup(template("style.css")),
        script=Markup(template("charts.js")),
        figures=embedded(figures),
        plotly=Markup(plotly_source()),
    )


def _sentence(found: Comparison) -> str:
    rows = found.rows
    bases = list(dict.fromkeys((row.base, row.fingerprint) for row in rows))
    on = f"**{bases[0][0]}**" if len(bases) == 1 else f"**{len(bases)} bases**"
    said = f"**{fig.count(len(rows))} {'adapter' if len(rows) == 1 else 'adapters'}** on {on}"
    values = [row.reliability for row in rows if row.reliability is not None]
    if not values:
        return f"{said}; reliability was not measured."
    said += f"; reliability {_range(values)}"
    worse = [row.spillover_negative for row in rows if row.spillover_negative is not None]
    if worse:
        said += f", and {_range(worse)} of the facts outside the mix known worse"
    return f"{said}."


def _range(shares: list[float]) -> str:
    low, high = fig.percent(min(shares)), fig.percent(max(shares))
    return f"**{low}**" if low == high else f"from **{low}** to **{high}**"


def _cells(row: Line, shown: list[str]) -> dict[str, Any]:
    return {
        "name": row.name,
        "base": row.base,
        "trained": fig.count(row.trained),
        "facts": fig.count(row.facts),
        "collapsed": row.collapsed,
        "figures": [_cell(row, name) for name in shown],
    }


def _cell(row: Line, name: str) -> dict[str, str]:
    interval = row.intervals.get(name)
    between = fig.interval(*interval) if interval and FIGURES[name][1] == "share" else ""
    return {"value": _written(name, getattr(row, name)), "interval": between}


def _written(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    form = FIGURES[name][1]
    if form == "share":
        return fig.percent(value)
    if form == "count":
        return fig.count(round(value))
    return fig.real(value)


def _group_cells(group: Group, shown: list[str]) -> dict[str, Any]:
    def cell(name: str) -> dict[str, str]:
        spread: Spread | None = getattr(group, name)
        if spread is None:
            return {"value": "–", "interval": ""}
        low, high = _written(name, spread.min), _written(name, spread.max)
        return {"value": _written(name, spread.mean), "interval": f"{low} to {high}"}

    return {"name": group.name, "seeds": len(group.seeds), "figures": [cell(n) for n in shown]}


def _sure(pair: Couple) -> float:
    return pair.p if pair.holm is None else pair.holm


def _pair_cells(pair: Couple) -> dict[str, Any]:
    return {
        "a": pair.a,
        "b": pair.b,
        "set": "trained by both" if pair.set == "trained" else "in neither mix",
        "facts": fig.count(pair.facts),
        "only_a": fig.count(pair.only_a),
        "only_b": fig.count(pair.only_b),
        "difference": _points(pair.difference),
        "interval": "" if pair.low is None else f"{_points(pair.low)} to {_points(pair.high)}",
        "p": _chance(pair.p),
        "holm": "–" if pair.holm is None else _chance(pair.holm),
        "sure": _sure(pair) < LEVEL,
    }


def _points(share: float | None) -> str:
    """A difference of two shares, in points, with its sign."""
    if share is None:
        return "–"
    return f"{100 * share:+.1f}".replace("-", "−") if share else "0"


def _chance(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _colors(found: Comparison) -> dict[str, int]:
    """The colour of every adapter: those of one group share one."""
    places = {name: i % COLORS for i, group in enumerate(found.groups) for name in group.rows}
    rest = len(found.groups)
    for row in found.rows:
        if row.name not in places:
            places[row.name] = rest % COLORS
            rest += 1
    return places


def _legend(found: Comparison) -> list[tuple[int, str]]:
    colors = _colors(found)
    inside = {name for group in found.groups for name in group.rows}
    named = [(colors[group.rows[0]], group.name) for group in found.groups]
    named += [(colors[row.name], row.name) for row in found.rows if row.name not in inside]
    return named if len(named) <= COLORS else []


def _notes(found: Comparison) -> list[str]:
    own = [f"{row.name}: {note}" for row in found.rows for note in row.notes]
    return list(dict.fromkeys([*found.notes, *own]))[:100]


def scatter(found: Comparison) -> dict[str, Any] | None:
    """What each adapter learned against what it cost: up and to the left is better.

    None where no adapter has both figures. Names of adapters stand in the hover labels alone, as
    text that no browser takes for markup.
    """
    colors = _colors(found)
    marks = [_mark(row, colors[row.name]) for row in found.rows if _drawn(row)]
    if not marks:
        return None
    spreads = [bars for group in found.groups if (bars := _spread(group, colors)) is not None]
    layout = frame(height=400)
    layout["xaxis"] |= {"title": {"text": "facts outside the mix known worse"}, "automargin": True}
    layout["yaxis"] |= {"title": {"text": "reliability"}, "automargin": True}
    for axis in ("xaxis", "yaxis"):
        layout[axis]["ticksuffix"] = f"{fig.SPACE}%"
    layout["yaxis"]["range"] = [-3, 104]
    layout["xaxis"]["range"] = [-0.03 * (right := _rightmost(found)), 1.06 * right]
    return {"data": [*marks, *spreads], "layout": layout}


def _rightmost(found: Comparison) -> float:
    """The end of the axis of spill-over, in percent: no interval is cut off."""
    ends = [
        100 * max(row.spillover_negative or 0, *row.intervals.get("spillover_negative", (0, 0)))
        for row in found.rows
        if _drawn(row)
    ]
    return max(1.0, *ends) if ends else 1.0


def _drawn(row: Line) -> bool:
    return row.reliability is not None and row.spillover_negative is not None


def _mark(row: Line, color: int) -> dict[str, Any]:
    assert row.reliability is not None
    assert row.spillover_negative is not None
    name = fig.short(row.name, 60).replace("&", "&amp;").replace("<", "&lt;")
    mark: dict[str, Any] = {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [round(100 * row.spillover_negative, 3)],
        "y": [round(100 * row.reliability, 3)],
        "marker": {"color": f"@line{color}", "size": 10},
        "cliponaxis": False,
        "hovertemplate": "%{fullData.name}<br>reliability %{y:.1f} %, worse %{x:.1f} %"
        "<extra></extra>",
    }
    for axis, figure, value in (
        ("y", "reliability", row.reliability),
        ("x", "spillover_negative", row.spillover_negative),
    ):
        if figure in row.intervals:
            low, high = row.intervals[figure]
            mark[f"error_{axis}"] = {
                "type": "data",
                "symmetric": False,
                "array": [round(100 * (high - value), 3)],
                "arrayminus": [round(100 * (value - low), 3)],
                "color": f"@line{color}",
                "thickness": 1,
                "width": 3,
            }
    return mark


def _spread(group: Group, colors: dict[str, int]) -> dict[str, Any] | None:
    """The mean of a group as a cross that reaches from its least to its greatest value."""
    up, right = group.reliability, group.spillover_negative
    if up is None or right is None:
        return None
    middle = (100 * right.mean, 100 * up.mean)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [100 * right.min, 100 * right.max, None, middle[0], middle[0]],
        "y": [middle[1], middle[1], None, 100 * up.min, 100 * up.max],
        "line": {"color": f"@line{colors[group.rows[0]]}", "width": 3},
        "hoverinfo": "skip",
    }
