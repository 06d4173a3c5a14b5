"""Options of the verbs that have somebody write, and how what was written is told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lorepack.cli.options import gathered
from lorepack.errors import InputError

if TYPE_CHECKING:
    from lorepack.synthesis.writers import Writer

PATH = click.Path(path_type=Path)
TOLD = {
    "no_reply": "the writer gave none",
    "format": "replies or parts of them that could not be used",
    "nothing": "replies with nothing in them",
    "surplus": "more than asked for",
}
"""reasons that are of replies rather than of items"""

writer_options = gathered(
    "written_by",
    ("writer", "endpoint", "concurrency", "timeout", "price", "device", "dtype"),
    click.option(
        "--writer",
        default="rules",
        show_default=True,
        metavar="W",
        help="rules (no model), a model folder or hub id, or the server's name of its model",
    ),
    click.option("--endpoint", metavar="URL", help="of an OpenAI-compatible server"),
    click.option(
        "--concurrency",
        default=16,
        show_default=True,
        type=click.IntRange(min=1),
        help="requests to the server at once",
    ),
    click.option(
        "--timeout",
        default=120.0,
        show_default=True,
        type=click.FloatRange(min=0, min_open=True),
        help="seconds for one attempt at a request",
    ),
    click.option("--price", metavar="IN,OUT", help="dollars for a million tokens read, written"),
    click.option("--device", default="auto", show_default=True, help="of a local model"),
    click.option("--dtype", default="auto", show_default=True, help="of a local model"),
)


def make_writer(
    writer: str,
    endpoint: str | None,
    concurrency: int,
    timeout: float,
    price: str | None,
    device: str,
    dtype: str,
) -> Writer:
    """The writer that the options say."""
    from lorepack.synthesis import writer_named

    return writer_named(
        writer,
        endpoint=endpoint,
        device=device,
        dtype=dtype,
        concurrency=concurrency,
        timeout=timeout,
        prices=None if price is None else _prices(price),
    )


def _prices(given: str) -> tuple[float, float]:
    try:
        read, written = (float(part) for part in given.split(","))
    except ValueError:
        raise click.UsageError(
            f"--price {given!r}: expected two numbers, such as 0.15,0.6"
        ) from None
    return read, written


def rejected_rows(rejected: dict[str, int]) -> list[tuple[str, int]]:
    """A row of a table for each reason."""
    return [(f"rejected: {TOLD.get(name, name)}", count) for name, count in rejected.items()]


def asked_line(report: Any) -> str:
    """What it took: requests, tokens, dollars, time."""
    if report.seconds is None:
        return "all was done before"
    tokens = report.prompt_tokens + report.completion_tokens
    told = f"{report.requests:,} requests, {report.cached:,} from the cache"
    if tokens:
        told += f"; {report.prompt_tokens:,} tokens read, {report.completion_tokens:,} written"
    if report.cost is not None:
        told += f"; ${report.cost:.4f}"
    return f"{told}; {report.seconds:.0f} s"


def require_replies(failed: int, reasons: Path | str) -> None:
    """End with 2 where requests had no reply.

    Raises:
        InputError: how many there are, and the file that says why.
    """
    if failed:
        raise InputError(
            f"{failed:,} requests had no reply; all else is written, and the same command "
            f"asks for them again (reasons: {reasons})"
        )
