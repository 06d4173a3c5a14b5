"""Work in several processes of one thread each: forks, which share the parent's memory.

On a processor two processes of one thread do more than one process of two where operations are
small: what surrounds the matrix products gains little from a second thread.
"""

from __future__ import annotations

import ctypes
import heapq
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from lorepack.errors import LorepackError, NoMemoryError

_PATIENCE = 0.25
"""seconds between two looks at whether to stop"""
_DEATH_SIGNAL = 1  # of prctl(2)
_ENDING = (signal.SIGINT, signal.SIGTERM)
_PARALLEL = "TOKENIZERS_PARALLELISM"

Tell = Callable[[Any], None]
Work = Callable[[int, Tell, Callable[[], bool]], Any]
"""called in a worker with its number, what takes messages, and a question: is it to stop?"""
Hear = Callable[[int, Any], None]
"""called with the number of a worker and its message"""


def possible(device: torch.device | str) -> bool:
    """Whether forks can share the work: on a processor, and not on macOS, whose libraries break."""
    forks = "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
    return forks and torch.device(device).type == "cpu"


def shares(costs: Sequence[float], count: int) -> list[list[int]]:
    """Part jobs among workers so that they end together: the dearest first, each to the least busy.

    Args:
        costs: of each job, in any unit.
        count: of workers.

    Returns:
        The numbers of each worker's jobs, in their order.
    """
    busy = [(0.0, worker) for worker in range(count)]
    parts: list[list[int]] = [[] for _ in busy]
    for number in sorted(range(len(costs)), key=lambda n: (-costs[n], n)):
        load, worker = heapq.heappop(busy)
        parts[worker].append(number)
        heapq.heappush(busy, (load + costs[number], worker))
    return [sorted(part) for part in parts if part]


def run(
    count: int,
    work: Work,
    hear: Hear,
    stop: Callable[[], bool] = lambda: False,
    lost: str = "a process was ended {how}, perhaps for want of memory",
) -> list[Any]:
    """Run ``work`` in ``count`` processes at once.

    Where one of them raises or is lost, the others are asked to stop; what they do by then is kept.

    Args:
        count: of workers; each computes with one thread: more hang in a fork whose parent had some.
        work: see `Work`. What it changes in memory is lost; what it returns must be picklable.
        hear: takes the workers' messages, in this process.
        stop: asked several times a second; where true, all workers are asked to stop.
        lost: what to say of a worker that was killed; ``{how}`` is filled in.

    Returns:
        What each worker returned.

    Raises:
        NoMemoryError: a worker was killed, which on Linux mostly means too little memory.
        BaseException: what a worker raised; an error rather than `Stopped`.
    """
    context = multiprocessing.get_context("fork")
    asked = context.Event()
    started: list[_Started] = []
    try:
        for number in range(count):
            with _undisturbed():
                started.append(_start(context, number, work, asked))
        return _gathered(started, hear, stop, asked, lost)
    finally:
        for one in started:
            one.process.kill()
            one.process.join()
            one.process.close()
            one.pipe.close()


def _start(context: Any, number: int, work: Work, asked: Any) -> _Started:
    ours, theirs = context.Pipe(duplex=False)
    task = (number, work, asked, theirs, os.getpid())
    process = context.Process(target=_worker, args=task, daemon=True)
    try:
        process.start()
    except BaseException as error:
        ours.close()
        if isinstance(error, OSError):
            raise NoMemoryError(
                f"the system starts no further process ({error}); OMP_NUM_THREADS=1 does with one"
            ) from error
        raise
    finally:
        theirs.close()
    return _Started(number, process, ours)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A fork may begin in the block: signals wait, and libraries find nothing to warn of."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    parallel = os.environ.get(_PARALLEL)
    os.environ[_PARALLEL] = "false"  # threads do not survive a fork
    try:
        with warnings.catch_warnings():  # the worker starts no thread that could wait for ever
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        if parallel is None:
            del os.environ[_PARALLEL]
        else:
            os.environ[_PARALLEL] = parallel
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass
class _Started:
    number: int
    process: Any
    pipe: Connection
    over: bool = False
    outcome: Any = None


def _gathered(
    started: Sequence[_Started], hear: Hear, stop: Callable[[], bool], asked: Any, lost: str
) -> list[Any]:
    """Hear all workers until each has told its outcome."""
    raised: list[BaseException] = []
    while waiting := {one.pipe: one for one in started if not one.over}:
        if stop():
            asked.set()
        for pipe in wait(list(waiting), timeout=_PATIENCE):
            one = waiting[pipe]  # type: ignore[index]
            try:
                kind, value = one.pipe.recv()
            except EOFError:
                kind, value = "raised", _lost(one.process, lost)
            if kind == "told":
                hear(one.number, value)
                continue
            one.over, one.outcome = True, value
            if kind == "raised":
                raised.append(value)
                asked.set()
    if raised:
        raise min(raised, key=lambda error: not isinstance(error, Exception))
    return [one.outcome for one in started]


def _lost(process: Any, lost: str) -> LorepackError:
    process.join()
    code = process.exitcode
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return NoMemoryError(lost.format(how=how))


def _worker(number: int, work: Work, asked: Any, pipe: Connection, parent: int) -> None:
    """The body of one process."""
    for ignored in _ENDING:  # the parent passes on what they mean
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    _end_with(parent)
    torch.set_num_threads(1)
    try:
        outcome = work(number, lambda told: pipe.send(("told", told)), asked.is_set)
        pipe.send(("done", outcome))
    except BrokenPipeError:
        return  # the parent is gone
    except BaseException as error:
        pipe.send(("raised", _portable(error)))


def _portable(error: BaseException) -> BaseException:
    """The error itself where it can cross to the parent, else what it says."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def _end_with(parent: int) -> None:
    """On Linux a killed parent takes its workers along, so that no two write to one folder."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH_SIGNAL, int(signal.SIGKILL))
        if os.getppid() != parent:  # it was killed before it could be asked for
            os._exit(1)
