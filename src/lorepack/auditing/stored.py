"""Greedy answers of a finished probe, streamed without its samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lorepack.errors import InputError

Greedy = Sequence[str | None]
"""the answers to one fact, one a prompt; None where the question did not fit the context"""
_ROWS = 2048  # facts at a time in memory


def greedy(folder: Path, stage: str) -> Iterator[tuple[str, Greedy]]:
    """Every fact's id and greedy answers, in the order of the probe.

    Args:
        folder: of the probe.
        stage: what to run again when the file is not whole, for the error.

    Raises:
        InputError: ``answers.parquet`` is missing or not whole.
    """
    path = folder / "answers.parquet"
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_ROWS, columns=["id", "greedy"]):
                yield from zip(batch["id"].to_pylist(), batch["greedy"].to_pylist(), strict=True)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, stage, error) from error


def check(folder: Path, stage: str) -> None:
    """Refuse answers that are not whole, before work is spent that needs them; reads the footer.

    Args:
        folder: of the probe.
        stage: what to run again.

    Raises:
        InputError: ``answers.parquet`` is missing or not whole.
    """
    path = folder / "answers.parquet"
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, stage, error) from error


def damaged(path: Path, stage: str, error: BaseException) -> InputError:
    """The one-line error for a results file that is missing or not whole."""
    first = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"{path}: damaged or missing ({first}); remove it and run `{stage}` again")
