"""The report: one HTML file that opens anywhere, without a network."""

from __future__ import annotations

import json
import re
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from lorepack import files
from lorepack.reports import details, tables
from lorepack.reports import figures as fig
from lorepack.reports.answer_data import answer_data
from lorepack.reports.audit_file import CATEGORIES, Audit, Matrix, total
from lorepack.reports.charts import charts, thinned
from lorepack.reports.flows import flow
from lorepack.reports.frontier import frontier
from lorepack.reports.relations import level
from lorepack.reports.run_files import RunFiles, read_run
from lorepack.reports.sections import sections, visible
from lorepack.reports.tiles import tiles
from lorepack.reports.unlearned import unlearned
from lorepack.reports.verdict import verdict


def report(run: Path | str) -> Path:
    """Write the report of a run.

    Args:
        run: a run folder whose stages are done.

    Returns:
        The path of ``report.html``: one file of at most 10 MB with everything inside. Equal result
        files give equal bytes; only durations and device come from ``timing.json``.

    Raises:
        LorepackError: a result file is missing or cut off; names it and the stage to run again.
    """
    found = read_run(run)
    html = render(found)
    path = found.folder / "report.html"
    files.write_text(path, html)
    return path


def render(found: RunFiles) -> str:
    """The report of a run as HTML."""
    figures = charts(found.steps, found.epochs)
    if found.budget is not None and found.budget.points:
        figures["chart-frontier"] = frontier(found.budget.model_dump(mode="json", by_alias=True))
    page = environment(autoescape=True).from_string(template("report.html"))
    return page.render(
        **_numbers(found),
        **_prints(found),
        **sections(found),
        answers=answer_data(found),
        flow=flow,
        charts=frozenset(figures),
        style=Markup(template("style.css")),
        more_style=Markup(template("sections.css")),
        script=Markup(template("charts.js")),
        inflate=Markup(template("inflate.js")),
        answer_script=Markup(template("answers.js")),
        figures=embedded(figures),
        plotly=Markup(plotly_source()),
    )


def _numbers(found: RunFiles) -> dict[str, Any]:
    """What the audit says, ready to be put in the page."""
    audit = found.audit
    missed, missed_count = unlearned(found)
    return {
        "audit": audit,
        "verdict": verdict(audit, found.budget),
        "tiles": tiles(audit),
        "sets": tables.fact_sets(audit),
        "categories": CATEGORIES,
        "category_table": tables.categories(audit),
        "learning": tables.learning(audit),
        "shifts": tables.shifts(audit),
        "side_effects": tables.side_effects(audit),
        "most": max((n for _, n in _top(audit)), default=1),
        "missed": missed,
        "missed_count": missed_count,
        "rehearsed": frozenset(found.mix.get("known") or ()),
        "spill_over": tables.SPILL_OVER,
    }


def _top(audit: Audit) -> tuple[tuple[str, int], ...]:
    return (*audit.answers.top_before, *audit.answers.top_after) if audit.answers else ()


def _prints(found: RunFiles) -> dict[str, Any]:
    """The small print: settings, versions, durations."""
    return {
        "model": details.short_name(details.base_name(found)),
        "groups": details.groups(found),
        "sampled": details.sampled(found),
        "notes": details.notes(found),
        "versions": details.versions(found),
        "fingerprints": details.fingerprints(found),
        "seconds": tuple((name, fig.duration(s)) for name, s in sorted(found.seconds.items())),
        "block": thinned([(float(row["step"]), row["loss"]) for row in found.steps])[1],
        "steps": len(found.steps),
    }


def environment(autoescape: bool) -> Environment:
    """Jinja with the project's way of writing numbers; a name that is missing is an error."""
    env = Environment(
        autoescape=autoescape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True, loader=FunctionLoader(template),
    )  # fmt: skip
    env.filters |= {
        "count": fig.count,
        "percent": fig.percent,
        "real": fig.real,
        "short": fig.short,
        "visible": visible,
        "strong": strong,
    }
    env.globals |= {"cell": cell, "matrix_total": total, "ratio": fig.ratio}
    return env


def template(name: str) -> str:
    """The text of a template that ships with the package."""
    return (resources("lorepack.reports") / "templates" / name).read_text(encoding="utf-8")


def strong(text: str) -> Markup:
    """``**words**`` as strong text, all else escaped."""
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(text))))


def embedded(value: Any) -> Markup:
    """JSON that can stand inside a script element: no character of it can end one."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def cell(matrix: Matrix, row: int, column: int) -> dict[str, Any]:
    """One cell of a transition matrix: its count, its share of the row, and how to colour it.

    Args:
        matrix: (4 before, 4 after) counts.
        row: the category before.
        column: the category after; further left is better.
    """
    number, whole = matrix[row][column], sum(matrix[row])
    share = fig.ratio(number, whole)
    move = "same" if row == column else "better" if column < row else "worse"
    return {"count": number, "share": share, "class": f"{move} l{level(share or 0.0)}"}


def plotly_source() -> str:
    """The library that draws the charts, to be put inside a page."""
    from plotly.offline import get_plotlyjs  # heavy, and only needed here

    source = get_plotlyjs()
    assert "</script" not in source.lower(), "this Plotly cannot be put inside a page"
    return source
