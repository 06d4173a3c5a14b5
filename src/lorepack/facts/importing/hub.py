"""Data sets of the Hugging Face hub, streamed by the library `datasets`.

A source is ``owner/name``, ``owner/name:config``, or a local folder that the library can read.
Columns are mapped as in plain tables (`lorepack.facts.importing.tabular`); the split of each row
becomes the fact's, and the name of the data set its source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorepack.errors import InputError
from lorepack.facts.importing.format import Format, Item, Options, Where
from lorepack.facts.importing.tabular import Rows, fact_of, with_columns
from lorepack.facts.importing.values import as_record


@dataclass(frozen=True)
class Hub:
    """A data set of the hub."""

    name: str = "hub"
    about: str = "a data set of the Hugging Face hub: owner/name or owner/name:config"
    takes: frozenset[str] = frozenset({"columns", "split"})
    yields: str = "facts"

    def fits(self, path: Path, head: bytes) -> bool:
        """Never: an id is no file."""
        return False

    def rows(self, path: Path, options: Options) -> Rows:
        """The rows of the asked split, or of all splits one after the other."""
        return with_columns(str(path), _rows(path, options), options)

    def items(self, raw: Any, options: Options) -> Iterable[Item]:
        """The one fact of a row."""
        return [fact_of(as_record(raw), options.columns)]


def _rows(path: Path, options: Options) -> Rows:
    source = str(path)
    told = path.name if path.exists() else source  # of a folder, where it lies is no news
    for split, stream in _opened(source, options.split):
        rows = iter(stream)
        number = 0
        while True:
            try:
                row = next(rows)
            except StopIteration:
                break
            except Exception as error:  # of a network, a format, a library behind the library
                raise _said(source, f"row {number + 1} of split {split!r}", error) from error
            number += 1
            yield Where(path, number), _named(row, told, split, options)


def _named(row: Any, source: str, split: str | None, options: Options) -> Any:
    """A row that says where it comes from, unless its own columns do."""
    row = dict(row)
    for name, value in (("source", source), ("split", split)):
        if name not in options.columns and row.get(name) in (None, ""):
            row[name] = value
    return row


def _opened(source: str, split: str | None) -> Iterator[tuple[str | None, Iterable[Any]]]:
    """Yield the name and the rows of each split."""
    try:
        import datasets
    except ImportError:
        raise InputError(
            "format hub needs the library datasets, which is not installed; "
            "install it with: pip install datasets"
        ) from None
    name, _, config = source.partition(":")
    if not config and Path(source).exists():
        name = source
    try:
        data = datasets.load_dataset(name, config or None, split=split, streaming=True)
    except Exception as error:
        raise _said(source, "the data set cannot be opened", error) from error
    if isinstance(data, dict):
        yield from data.items()
    else:
        yield split, data


def _said(source: str, where: str, error: Exception) -> InputError:
    """Whatever went wrong, in one line."""
    words = " ".join(str(error).split()) or type(error).__name__
    shown = words if len(words) <= 400 else words[:399] + "…"
    return InputError(f"{source}: {where} ({type(error).__name__}: {shown})")


FORMATS: dict[str, Format] = {"hub": Hub()}
