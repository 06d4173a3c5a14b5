"""The state of a stack in training on disk: factors, moments and counters, whole or not at all.

A checkpoint is a folder ``step-NNNNNNNN`` whose manifest comes last; the one before is removed
only when the new one is complete. Without a manifest, or with other jobs', it does not count.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lorepack import files
from lorepack.errors import LorepackError, NoMemoryError, NumericError, WriteError
from lorepack.lora import Stack
from lorepack.training.adamw import AdamW
from lorepack.training.course import Progress
from lorepack.training.plan import Plan

_FACTORS, _MOMENTS, _STATE = "factors.safetensors", "moments.safetensors", "state.json"
_FAILURES = {kind.__name__: kind for kind in (NumericError, NoMemoryError)}
_NAME = re.compile(r"step-\d{8,}")


@dataclass(frozen=True)
class State:
    """How far the jobs of a stack are."""

    tick: int
    """steps that the stack has taken"""
    members: dict[int, Progress]
    """the jobs in the stack by their numbers, in the order of its adapters"""
    threads: int
    """CPU threads, which decide the order of sums"""
    plan: Plan
    """how many fit at once"""
    over: dict[int, LorepackError | None] = field(default_factory=dict)
    """jobs that were done, or had failed, by then: they stay out of what goes on"""
    parked: frozenset[int] = frozenset()
    """jobs in the queue that go on from where they were parked"""


def save(folder: Path, inputs: str, optimizer: AdamW, state: State) -> None:
    """Write the checkpoint of one step, then remove older ones.

    Args:
        folder: holds the checkpoints of one stack.
        inputs: hash of everything the jobs depend on.
        optimizer: with its stack.
        state: where the jobs stand.

    Raises:
        WriteError: no space, no permission.
    """
    place = folder / f"step-{state.tick:08d}"
    _write(place / _FACTORS, {key: t.detach() for key, t in _factors(optimizer.stack)})
    _write(place / _MOMENTS, optimizer.moments)
    members = [{"job": job, **asdict(progress)} for job, progress in state.members.items()]
    row = {
        "schema": 3,
        "counts": optimizer.counts,
        "members": members,
        "over": [{"job": job, **_told(error)} for job, error in sorted(state.over.items())],
        "parked": sorted(state.parked),
        "plan": asdict(state.plan),
        "threads": state.threads,
        "tick": state.tick,
    }
    files.write_json(place / _STATE, row)
    files.write_manifest(place, inputs, [_FACTORS, _MOMENTS, _STATE])
    for other in _found(folder):
        if other != place:
            shutil.rmtree(other, ignore_errors=True)


def newest(folder: Path, inputs: str) -> Path | None:
    """The latest whole checkpoint of these very jobs; None when there is none."""
    whole = [place for place in _found(folder) if files.is_complete(place, inputs)]
    return whole[-1] if whole else None


def peek(place: Path) -> State:
    """The counters of a checkpoint."""
    state: dict[str, Any] = files.read_json(place / _STATE)
    members = {row.pop("job"): Progress(**row) for row in state["members"]}
    over = {row["job"]: _heard(row) for row in state["over"]}
    plan, parked = Plan(**state["plan"]), frozenset(state["parked"])
    return State(state["tick"], members, state["threads"], plan, over, parked)


def restore(place: Path, optimizer: AdamW) -> None:
    """Put a checkpoint's factors, moments and counts back in place."""
    factors, moments = load_file(place / _FACTORS), load_file(place / _MOMENTS)
    with torch.no_grad():
        for key, tensor in _factors(optimizer.stack):
            tensor.copy_(factors[key])
        for key, moment in optimizer.moments.items():
            moment.copy_(moments[key])
    optimizer.counts = list(files.read_json(place / _STATE)["counts"])


def clear(folder: Path) -> bool:
    """Remove all checkpoints, and the folder where nothing else lies in it; whether one was whole.

    Raises:
        WriteError: no permission.
    """
    found = _found(folder)
    whole = any((place / files.MANIFEST).is_file() for place in found)
    try:
        for place in found:
            shutil.rmtree(place)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise WriteError(f"cannot clear {folder}: {error.strerror or error}") from error
    return whole


def _factors(stack: Stack) -> Iterator[tuple[str, Tensor]]:
    """``NAME.A``, ``NAME.B``, ``NAME.magnitude`` and so on."""
    for name, site in stack.sites.items():
        for side, _, tensor in site.tensors():
            yield f"{name}.{side}", tensor


def _told(error: LorepackError | None) -> dict[str, str | None]:
    return {"error": None if error is None else type(error).__name__, "why": str(error or "")}


def _heard(row: dict[str, Any]) -> LorepackError | None:
    if row["error"] is None:
        return None
    return _FAILURES.get(row["error"], LorepackError)(row["why"])


def _found(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    places = [place for place in folder.iterdir() if _NAME.fullmatch(place.name)]
    return sorted(places, key=lambda place: int(place.name.removeprefix("step-")))


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    try:
        with files.atomic(path) as partial:
            save_file({key: tensors[key].cpu().contiguous() for key in sorted(tensors)}, partial)
    except SafetensorError as error:  # how safetensors reports a full disk
        raise WriteError(f"cannot write {path}: {error}") from error
