"""Tasks in a budget: the change of each task's main metric, by whatever measures tasks here."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lorepack.errors import InputError

MAIN = ("acc", "bleu_acc", "exact_match")
"""a task's main metric is the first of these that it has, else its first by name"""
MEASURER = "lorepack.auditing.harm"


def require(tasks: Sequence[str]) -> None:
    """See that tasks can be measured, before any work is done.

    Raises:
        InputError: they cannot.
    """
    if tasks and importlib.util.find_spec(MEASURER) is None:
        raise InputError(
            f"budget: {', '.join(tasks)}: tasks cannot be measured by this version; limit "
            "neutral_kl, negative_shift, refusals or perplexity"
        )


def measure_tasks(
    lm: Any, stack: Any, names: Sequence[str], tasks: Sequence[str], out: Path
) -> list[dict[str, tuple[float, float]]]:
    """Measure tasks with every adapter of a stack, in one pass.

    Args:
        lm: the base.
        stack: attached.
        names: one an adapter.
        tasks: their names.
        out: folder for ``harm.json``.

    Returns:
        Of every adapter each task's change and its standard error; see `changes`.
    """
    require(tasks)
    harm = importlib.import_module(MEASURER)
    document = harm.measure(lm, stack, list(names), list(tasks), out)
    return [changes(document, name, tasks) for name in names]


def changes(
    document: Mapping[str, Any], name: str, tasks: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """The change of each task's main metric, adapter against base, and its standard error.

    Args:
        document: ``harm.json``.
        name: of the adapter.
        tasks: their names.
    """
    found = {}
    for task in tasks:
        metrics = document["tasks"][task]["metrics"]
        main = next((metric for metric in MAIN if metric in metrics), min(metrics))
        row = metrics[main]["adapters"][name]
        found[task] = float(row["delta"]), float(row.get("delta_stderr") or 0.0)
    return found
