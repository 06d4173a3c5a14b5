"""Sides of a comparison, each in processes of their own that begin at one moment.

A worker loads, says so, waits, works, and prints one JSON object: start-up is in nobody's time, and
every measurement begins from the same state.
"""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

Work = Callable[[], dict[str, Any]]
"""what is timed; gives what the worker tells"""


def together(workers: list[dict[str, Any]], module: str) -> tuple[float, list[dict[str, Any]]]:
    """Start workers, let them begin at once, and take the time until the last one ends.

    Args:
        workers: the plan of each process.
        module: runs `serve` when called with ``--worker``.

    Returns:
        Seconds, and what each worker told.
    """
    command = [sys.executable, "-m", module, "--worker"]
    started = [
        subprocess.Popen(
            [*command, json.dumps(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for worker in workers
    ]
    for process in started:
        assert process.stdout
        assert process.stdout.readline().strip() == "ready", f"{module}: a worker did not start"
    start = time.perf_counter()
    for process in started:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    rows = []
    for process in started:
        assert process.stdout
        rows.append(json.loads(process.stdout.readline()))
    seconds = time.perf_counter() - start
    for process in started:
        process.wait()
    return seconds, rows


def serve(prepare: Callable[[dict[str, Any]], Work]) -> int:
    """Be a worker: prepare by the plan on the command line, say so, wait, work, tell.

    What is told has the peak of memory added, ``megabytes``: of the largest fork where there are
    some, since their sum would count shared pages twice.
    """
    import torch

    plan = json.loads(sys.argv[2])
    torch.set_num_threads(plan["threads"])
    work = prepare(plan)
    print("ready", flush=True)
    sys.stdin.readline()
    with contextlib.redirect_stdout(sys.stderr):  # libraries print
        told = work()
    own, forks = (
        resource.getrusage(who).ru_maxrss // 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(json.dumps({**told, "megabytes": max(own, forks)}), flush=True)
    return 0
