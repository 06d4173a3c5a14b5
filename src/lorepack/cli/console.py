"""What the verbs print: progress on stderr, tables on a terminal, one JSON object when asked."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

Progress = Callable[[str, int, int], None]
"""called as ``progress(stage, done, total)``"""

json_option = click.option(
    "--json", "as_json", is_flag=True, help="print one JSON object as the last line of stdout"
)


@contextmanager
def progress(as_json: bool) -> Iterator[Progress]:
    """Show progress: bars with rate and remaining time on a terminal, JSON lines off it."""
    if sys.stderr.isatty() and not as_json:
        with _bars() as show:
            yield show
    else:
        yield _json_lines()


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:>9}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, tuple[Any, float]] = {}
    with Bars(*columns, console=Console(stderr=True)) as bars:

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = (bars.add_task(stage, total=total, rate=""), time.monotonic())
            task, start = tasks[stage]
            rate = f"{done / max(time.monotonic() - start, 1e-9):.0f}/s" if done else ""
            bars.update(task, completed=done, total=total, rate=rate)

        yield show


def _json_lines(every: float = 10.0) -> Progress:
    """A line when a stage begins and ends, and every ten seconds between."""
    started: dict[str, float] = {}
    last: dict[str, float] = {}

    def show(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        started.setdefault(stage, now)
        if stage in last and done < total and now - last[stage] < every:
            return
        last[stage] = now
        seconds = round(now - started[stage], 1)
        line = {"stage": stage, "done": done, "total": total, "seconds": seconds}
        print(json.dumps(line), file=sys.stderr, flush=True)

    return show


def finish(result: Mapping[str, Any], as_json: bool, show: Callable[[], None]) -> None:
    """End a verb: the JSON object as the last line of stdout, or what ``show`` prints."""
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False, allow_nan=False))
    else:
        show()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers to the right."""
    from rich.console import Console
    from rich.table import Table

    sheet = Table(title=title, title_justify="left", show_edge=False)
    for index, name in enumerate(columns):
        sheet.add_column(name, justify="left" if index == 0 else "right")
    for row in rows:
        sheet.add_row(*(_cell(value) for value in row))
    Console().print(sheet)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
