"""Many jobs in one stack, killed or asked to end by the system, end with the same bytes."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from lorepack.training.loop import Order, train_many
from training.toy import made, recipe, toy

KILLED, ENDED = signal.SIGKILL, 0


def work(folder: Path, progress: Any = None) -> None:
    """Five jobs in three slots, measured after every epoch."""
    jobs = [
        Order(
            made(8 + 4 * number, seed=number),
            recipe(rank=1 + number, dropout=0.2, epochs=2 + number % 2, checkpoint_every=4),
            folder / f"t{number}",
            folder / f"a{number}",
            seed=number,
            on_epoch=lambda epoch, stack: epoch / 10,
        )
        for number in range(5)
    ]
    place = folder / "checkpoint"
    train_many(toy(), jobs, checkpoints=place, slots=3, tokens=4096, progress=progress)


# Imports once, then lets the jobs run in forks of itself and sends them signals in turn.
SCRIPT = """
import os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from lorepack import signals
from lorepack.errors import Stopped
from training.test_kill_many import work

folder, kinds, draw = Path(sys.argv[1]), sys.argv[2].split(","), random.Random(1)
seen = folder / "seen"

def note(done, total):
    with open(seen, "a") as file:
        file.write(f"{done}\\n")

def lines():
    return len(seen.read_text().splitlines()) if seen.exists() else 0

def ended(child):
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

for kind in [*kinds, None]:
    child = os.fork()
    if child == 0:
        try:
            with signals.heeded():
                work(folder, note)
        except Stopped as ending:
            with open(folder / "told", "a") as file:
                file.write(f"{ending}\\n")
        os._exit(0)
    goal, delay = lines() + draw.randint(2, 5), draw.random() * 0.005
    while kind is not None and not ended(child):
        if lines() >= goal:
            time.sleep(delay)
            os.kill(child, getattr(signal, kind))
            break
        time.sleep(0.001)
    _, status = os.waitpid(child, 0)
    print(status)
"""


def test_killed_and_asked_to_end_at_random_moments(tmp_path: Path) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    work(whole)
    torn.mkdir()
    kinds = ["SIGKILL", "SIGTERM", "SIGTERM", "SIGKILL"]
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(torn), ",".join(kinds)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    statuses = [int(line) for line in done.stdout.split()]
    assert statuses == [KILLED, ENDED, ENDED, KILLED, ENDED]
    told = (torn / "told").read_text().splitlines()
    assert len(told) == 2
    assert all(line.startswith("stopped at step ") for line in told)
    steps = [int(line) for line in (torn / "seen").read_text().splitlines()]
    for line in told:  # what was kept at the signal is where the next call begins
        at = int(line.split()[3])
        assert (at, at) in itertools.pairwise(steps), "a step that was done is done again"
    for path in sorted(p for p in whole.rglob("*") if p.is_file()):
        assert path.read_bytes() == (torn / path.relative_to(whole)).read_bytes(), path
    assert not (torn / "checkpoint").exists()
