"""The libraries that some kinds of documents need."""

from __future__ import annotations

import importlib
from typing import Any

from lorepack.errors import InputError


def library(module: str, kind: str) -> Any:
    """A module of the extra ``documents``.

    Args:
        module: its name.
        kind: what it reads, for the message.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(
            f"reading {kind} needs {module.partition('.')[0].replace('_', '-')}; "
            "pip install 'lorepack[documents]'"
        ) from None
