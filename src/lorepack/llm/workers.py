"""One call's prompts among forked processes of one thread each, on a processor.

The model's operations are small: two processes gain from two cores what two threads do not. The
prompts are parted along their order in the tree of prefixes, so that what is shared is mostly
shared inside one process.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch

from lorepack import forks
from lorepack.llm.engine.session import Adapters, kinds_of
from lorepack.llm.engine.tree import grow
from lorepack.llm.memory import shared_by

WORTH = 5e10
"""tokens times weights from which on processes end sooner than one; seconds on one core"""
_WORTH, _FEW = 64, 8  # of the tree that tells what prompts share
_STRETCHES = 16  # a process: answers' lengths differ from place to place in the order
_TWICE = 0.05  # of all tokens that may be computed in two processes
_UNEVEN = 1.05  # how much longer than the mean a process may take
_PATIENCE = 0.1
"""seconds that results are gathered for one message"""
_LOST = (
    "a process that shares the prompts was ended {how}, perhaps for want of memory; ask fewer "
    "prompts at once, lower batch_tokens, or set OMP_NUM_THREADS=1 for one process"
)

Result = TypeVar("Result")
Run = Callable[[Sequence[int]], Iterator[tuple[int, Result]]]
"""called with the indices of some prompts; gives the place in them of each, and what was found"""


def processes(device: torch.device) -> int:
    """How many may share a call: as many as torch has threads; 1 where forks are not safe."""
    free = (
        threading.current_thread() is threading.main_thread()
        and not multiprocessing.current_process().daemon  # a worker, of ours or of others
        and forks.possible(device)
    )
    return torch.get_num_threads() if free else 1


def parts(
    model: Any, prompts: Sequence[Sequence[int]], further: int, adapters: Adapters | None
) -> list[list[int]]:
    """Part prompts among processes.

    Args:
        model: that answers them; its device and size count.
        prompts: token ids, none empty.
        further: tokens to compute behind each, about.
        adapters: of each prompt; None to take the model as it is.

    Returns:
        The indices of each process's prompts; one part where more are not possible or not worth it.
    """
    whole = [list(range(len(prompts)))]
    weights = next(model.parameters())
    count = min(processes(weights.device), len(prompts))
    if count < 2:
        return whole
    size = sum(weight.numel() for weight in model.parameters())
    if size * (sum(map(len, prompts)) + further * len(prompts)) < WORTH:
        return whole
    tree = grow(prompts, _WORTH, _FEW, kinds=kinds_of(adapters))
    depths = np.array([tree.depth(home) for home in range(-1, len(tree.nodes))])
    lengths = np.fromiter(map(len, prompts), np.int64, len(prompts))
    costs = (lengths - depths[tree.homes + 1] + further)[tree.order]  # (n,) in the tree's order
    if size * int(costs.sum()) < WORTH:
        return whole
    kinds = np.zeros(len(prompts)) if adapters is None else np.array(kinds_of(adapters))
    most = int(_TWICE * costs.sum() / max(1, depths.max()))
    shares = _shares(costs, kinds[tree.order], count, max(count, min(_STRETCHES * count, most)))
    return [tree.order[share].tolist() for share in shares]


def _shares(costs: np.ndarray, kinds: np.ndarray, count: int, most: int) -> list[np.ndarray]:
    """Each process's places in the order: whole adapters if these even out, else stretches of
    about one ``most``-th of the whole."""
    borders = np.flatnonzero(np.diff(kinds)) + 1
    cells = np.cumsum(costs) * most // (costs.sum() + 1)
    steps = np.flatnonzero(np.diff(cells)) + 1
    for cuts in (borders, np.union1d(borders, steps)):
        stretches = list(pairwise([0, *cuts.tolist(), len(costs)]))
        loads = [float(costs[first:last].sum()) for first, last in stretches]
        shares = forks.shares(loads, count)
        if max(sum(loads[s] for s in share) for share in shares) * count <= _UNEVEN * sum(loads):
            break
    return [np.concatenate([np.arange(*stretches[s]) for s in share]) for share in shares]


def carry(
    parts: Sequence[Sequence[int]], run: Run[Result], hear: Callable[[int, Result], None]
) -> None:
    """Run every part, one in this process or several in a process each.

    Args:
        parts: indices of prompts.
        run: see `Run`.
        hear: called in this process with each prompt's index and what was found, soon after.

    Raises:
        NoMemoryError: a process was killed.
        BaseException: what ``run`` raised.
    """
    if len(parts) == 1:
        for place, result in run(parts[0]):
            hear(parts[0][place], result)
        return

    def work(number: int, tell: forks.Tell, asked: Callable[[], bool]) -> None:
        shared_by(len(parts))
        found: list[tuple[int, Result]] = []
        told = time.monotonic()
        for place, result in run(parts[number]):
            found.append((parts[number][place], result))
            if time.monotonic() - told > _PATIENCE:
                tell(found)
                found, told = [], time.monotonic()
                if asked():  # another has failed: nobody waits for this one
                    return
        tell(found)

    def unpack(_: int, found: list[tuple[int, Result]]) -> None:
        for index, result in found:
            hear(index, result)

    forks.run(len(parts), work, unpack, lost=_LOST)
