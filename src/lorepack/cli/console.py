"""What the verbs print: progress on stderr, tables on a terminal, one JSON object when asked."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

Progress = Callable[[str, int, int], None]
"""called as ``progress(stage, done, total)``"""

json_option = click.option(
    "--json", "as_json", is_flag=True, help="print one JSON object as the last line of stdout"
)


@contextmanager
def progress(as_json: bool) -> Iterator[Progress]:
    """Show progress: bars with rate and remaining time on a terminal, JSON lines off it."""
    if on_terminal(as_json):
        with bars() as shown:
            yield ticker(shown)
    else:
        yield json_lines()


def on_terminal(as_json: bool) -> bool:
    """Whether somebody looks at what is printed."""
    return sys.stderr.isatty() and not as_json


def bars() -> Bars:
    """Bars on stderr, one a stage, not yet shown."""
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
    return Bars(*columns, console=Console(stderr=True))


def ticker(shown: Bars) -> Progress:
    """What moves the bars."""
    tasks: dict[str, tuple[Any, float]] = {}

    def show(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = (shown.add_task(stage, total=total, rate=""), time.monotonic())
        task, start = tasks[stage]
        rate = f"{done / max(time.monotonic() - start, 1e-9):.0f}/s" if done else ""
        shown.update(task, completed=done, total=total, rate=rate)

    return show


def json_lines(every: float = 10.0) -> Progress:
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
