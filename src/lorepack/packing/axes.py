"""Grids: what varies, in which values, and what each combination is called."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lorepack.errors import InputError

MAX_JOBS = 1000
"""jobs that a grid may make unless more are allowed"""
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def parse_axes(given: Iterable[str]) -> dict[str, Sequence[Any]]:
    """Axes as they are written on a command line.

    Args:
        given: ``rank=1,4,16``, ``seed=0..2`` (both ends included); values that hold commas
            themselves are separated by semicolons.

    Raises:
        InputError: not key=values, no value, a range that ends before it begins, a key twice.
    """
    axes: dict[str, Sequence[Any]] = {}
    for text in given:
        key, equals, values = (part.strip() for part in text.partition("="))
        if not (key and equals and values):
            raise InputError(f"grid {text!r}: expected key=values, such as rank=1,4 or seed=0..2")
        if key in axes:
            raise InputError(f"grid: {key} is given twice; list all of its values in one")
        axes[key] = values_of(key, values)
    return axes


def values_of(key: str, given: Any) -> Sequence[Any]:
    """The values of an axis: a list, or text such as ``1,4,16`` or ``0..2``.

    Raises:
        InputError: no value, or a range that ends before it begins.
    """
    if isinstance(given, str):
        if found := _RANGE.fullmatch(given.strip()):
            given = range(int(found[1]), int(found[2]) + 1)
        else:
            given = [_scalar(part) for part in given.split(";" if ";" in given else ",")]
    if not isinstance(given, Sequence):
        given = [given]
    if not given:
        raise InputError(f"grid: {key} has no value; expected one or more")
    return given


def _scalar(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text.strip()


def cells(axes: Mapping[str, Sequence[Any]], most: int = MAX_JOBS) -> list[dict[str, Any]]:
    """All combinations, the last axis running fastest.

    Args:
        axes: values by key; no axis makes one empty cell.
        most: how many there may be.

    Raises:
        InputError: there are more.
    """
    check_count(math.prod(len(values) for values in axes.values()), most, axes)
    return [dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*axes.values())]


def check_count(count: int, most: int, axes: Mapping[str, Sequence[Any]]) -> None:
    """Refuse more jobs than are allowed.

    Raises:
        InputError: with the count and how it comes about.
    """
    if count > most:
        sizes = " × ".join(f"{len(values):,} of {key}" for key, values in axes.items())
        raise InputError(
            f"the grid makes {count:,} jobs ({sizes}), at most {most:,} are allowed; "
            "leave values out, or raise max_jobs"
        )


def label(cell: Mapping[str, Any]) -> str:
    """The name of a cell, such as ``rank=1,seed=0``; empty for an empty one."""
    return ",".join(f"{key}={shown(value)}" for key, value in cell.items())


def shown(value: Any) -> str:
    """A value as it stands in names and tables: of a path its stem, of a list its parts."""
    if isinstance(value, list | tuple):
        return "+".join(map(shown, value))
    text = "none" if value is None else str(value)
    if "/" in text or isinstance(value, Path) or re.search(r"\.[a-z]{2,7}$", text):
        text = Path(text).stem
    return re.sub(r"[^\w.+-]+", "-", text) or "-"
