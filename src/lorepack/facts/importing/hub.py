"""Data sets of the Hugging Face hub, streamed by the library `datasets`.

A source is ``owner/name``, ``owner/name:config``, or a local folder that the library can read: in
the hub's layout (also with ``:config``), or as ``save_to_disk`` wrote it.
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
    local = path.exists() or Path(source.partition(":")[0]).exists()
    told = path.name if local else source  # of a folder, where it lies is no news
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
    if Path(source).exists():
        name, config = source, ""
    if Path(name).is_file():
        raise InputError(f"{name} is a file; say --as parquet, csv, json or jsonl, or its folder")
    try:
        if _is_saved(Path(name)):
            data = _split_of(datasets.load_from_disk(name), split)
        else:
            data = datasets.load_dataset(name, config or None, split=split, streaming=True)
    except Exception as error:
        raise _said(source, "the data set cannot be opened", error) from error
    if isinstance(data, dict):
        yield from data.items()
    else:
        yield split or (str(data.split) if getattr(data, "split", None) else None), data


def _is_saved(folder: Path) -> bool:
    """Whether ``save_to_disk`` wrote a folder."""
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))


def _split_of(data: Any, split: str | None) -> Any:
    """The one split that is asked for, or all that are there."""
    if split is None:
        return data
    splits = data if isinstance(data, dict) else {str(data.split): data} if data.split else {}
    if split not in splits:
        raise ValueError(f"no split {split!r}; it has: {', '.join(splits) or 'none'}")
    return splits[split]


def _said(source: str, where: str, error: Exception) -> InputError:
    """Whatever went wrong, in one line."""
    words = " ".join(str(error).split()) or type(error).__name__
    shown = words if len(words) <= 400 else words[:399] + "…"
    return InputError(f"{source}: {where} ({type(error).__name__}: {shown})")


FORMATS: dict[str, Format] = {"hub": Hub()}
