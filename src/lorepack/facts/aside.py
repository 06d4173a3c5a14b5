"""Where rows go that are set aside: beside the result, over no rows but those of its last try."""

from __future__ import annotations

import json
from pathlib import Path

from lorepack.errors import InputError

NAME = "rejected.jsonl"


def aside_of(out: Path) -> Path:
    """Where the rows go that ``out`` leaves out, when nobody said so.

    Every such row names its ``out``, so that those of another result are known and kept.

    Args:
        out: the result.

    Returns:
        ``rejected.jsonl`` beside it; ``STEM.rejected.jsonl`` where that is taken by something
        else; then the same with the whole name.

    Raises:
        InputError: all three are.
    """
    for name in (NAME, f"{out.stem}.{NAME}", f"{out.name}.{NAME}"):
        path = out.with_name(name)
        if _is_free(path, out):
            return path
    raise InputError(f"{path} is not of {out.name}; say with --rejected FILE where rows may go")


def _is_free(path: Path, out: Path) -> bool:
    """Whether nothing is lost when the file is replaced by what ``out`` leaves out."""
    try:
        with open(path, "rb") as handle:
            first = handle.readline(1 << 20)
        return not first or json.loads(first)["out"] == out.name
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
