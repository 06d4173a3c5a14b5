"""What many jobs in training look like: bars, the scheduler's remarks, and a table of the jobs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lorepack.cli.console import bars, json_lines, on_terminal, ticker

if TYPE_CHECKING:
    from rich.table import Table

    from lorepack.training import Standing

ROWS = 12
"""jobs that have a row of their own; the rest is summed up"""
_ORDER = ("training", "failed", "waiting", "done")


@contextmanager
def screen(as_json: bool) -> Iterator[dict[str, Any]]:
    """Show many jobs while they are trained.

    Yields:
        ``progress``, ``note`` and ``watch`` of `lorepack.train` and `lorepack.pack_grid`; off a
        terminal nobody watches, and remarks are JSON lines on stderr like the rest.
    """
    if not on_terminal(as_json):
        yield {"progress": json_lines(), "note": _json_note, "watch": None}
        return
    from rich.console import Group
    from rich.live import Live

    shown = bars()
    latest: list[Sequence[Standing]] = []

    def drawn() -> Group:
        return Group(shown, *(standings_table(jobs) for jobs in latest))

    def watch(jobs: Sequence[Standing]) -> None:
        latest[:] = [tuple(jobs)]

    def note(line: str) -> None:
        shown.console.print(line, markup=False, highlight=False)

    with Live(get_renderable=drawn, console=shown.console):
        yield {"progress": ticker(shown), "note": note, "watch": watch}


def _json_note(line: str) -> None:
    print(json.dumps({"note": line}, ensure_ascii=False), file=sys.stderr, flush=True)


def standings_table(jobs: Sequence[Standing]) -> Table:
    """Those in training first, then the failed, the waiting and the done; the rest in one row."""
    from rich.markup import escape
    from rich.table import Table

    found = Table(box=None, pad_edge=False)
    found.add_column("job", max_width=40, overflow="ellipsis", no_wrap=True)
    for name in ("step", "loss", "tokens/s", "left"):
        found.add_column(name, justify="right")
    ranked = sorted(jobs, key=lambda job: (_ORDER.index(job.state), job.job))
    for job in ranked[:ROWS]:
        found.add_row(escape(job.name), *_cells(job))
    if rest := ranked[ROWS:]:
        speed = sum(job.tokens_per_second or 0 for job in rest)
        states = [f"{sum(job.state == state for job in rest)} {state}" for state in _ORDER]
        found.add_row(
            f"{len(rest)} more: " + ", ".join(text for text in states if text[0] != "0"),
            f"{sum(job.step for job in rest):,}/{sum(job.total for job in rest):,}",
            "",
            f"{speed:,.0f}" if speed else "",
            _time(max((job.seconds_left or 0 for job in rest), default=0)),
        )
    return found


def _cells(job: Standing) -> tuple[str, ...]:
    return (
        f"{job.step:,}/{job.total:,}",
        "" if job.loss is None else f"{job.loss:.3g}",
        "" if job.tokens_per_second is None else f"{job.tokens_per_second:,.0f}",
        job.state if job.seconds_left is None else _time(job.seconds_left),
    )


def _time(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}" if whole else ""
