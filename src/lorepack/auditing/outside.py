"""Tasks in a budget: the change of each task's main metric, on one half of its items."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lorepack import lora
from lorepack.auditing.harm import HarmSettings, measure
from lorepack.auditing.harm.extra import harness
from lorepack.auditing.harm.tasks import choose
from lorepack.llm import LanguageModel

HALVES = {"development": "even", "test": "odd"}
"""the items that points are chosen by, and those that the choice is judged by"""


def require(tasks: Sequence[str], data: Path | None = None) -> None:
    """See that tasks can be measured, before any work is done.

    Raises:
        InputError: no harness is installed, or an unknown task.
    """
    if tasks:
        harness()
        choose(tasks, data)


def measure_tasks(
    lm: LanguageModel,
    stack: lora.Stack,
    names: Sequence[str],
    tasks: Sequence[str],
    out: Path,
    *,
    part: str,
    data: Path | None = None,
    limit: int | None = None,
) -> list[dict[str, tuple[float, float]]]:
    """Measure tasks with every adapter of a stack, in one pass.

    Args:
        lm: the base.
        stack: attached.
        names: one an adapter.
        tasks: their names.
        out: folder for ``harm.json``.
        part: ``development`` or ``test``.
        data: folder with original files of tasks.
        limit: most items of a task, over both parts.

    Returns:
        Of every adapter each task's change, adapter against base, and its standard error.
    """
    settings = HarmSettings(half=HALVES[part], limit=limit)  # type: ignore[arg-type]
    found = measure(lm, tasks, out, stack=stack, adapters=names, data=data, settings=settings)
    return [{task: found.change(task, name) for task in tasks} for name in names]
