"""Killed anywhere and started again, a job ends with the same bytes and redoes little."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from lorepack.training import train
from training.toy import made, recipe, toy

RESULTS = (
    "a/adapter_config.json",
    "a/adapter_model.safetensors",
    "a/lorepack.json",
    "t/epochs.json",
    "t/manifest.json",
    "t/result.json",
    "t/train.jsonl",
)
SETTINGS = {"epochs": 4, "dropout": 0.2, "checkpoint_every": 4, "schedule": "cosine"}


def work(folder: Path, progress: Any = None, on_epoch: Any = None) -> Any:
    """The job of these tests: 24 steps in 4 epochs, measured after each."""
    return train(
        toy(),
        made(24),
        recipe(**SETTINGS),
        out=folder / "t",
        adapter=folder / "a",
        seed=9,
        on_epoch=on_epoch or (lambda epoch, stack: epoch / 10),
        progress=progress,
    )


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULTS}


class Stop(BaseException):
    """Stands for Ctrl-C."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)
    work(folder)
    return bytes_of(folder)


@pytest.mark.parametrize("at", [0, 1, 3, 4, 6, 7, 17, 23, 24])
def test_interrupted_after_any_step(at: int, whole: dict[str, bytes], tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(tmp_path, interrupt)
    begun: list[int] = []
    work(tmp_path, lambda done, total: begun.append(done))
    assert at - begun[0] <= 4, "redoes more than one checkpoint interval"
    assert bytes_of(tmp_path) == whole


def test_interrupted_again_and_again(whole: dict[str, bytes], tmp_path: Path) -> None:
    draw = random.Random(0)
    for _ in range(6):
        limit = draw.randint(3, 8)

        def interrupt(done: int, total: int, seen: list[int] = [], limit: int = limit) -> None:  # noqa: B006
            seen.append(done)
            if len(seen) > limit:
                raise Stop

        try:
            work(tmp_path, interrupt)
        except Stop:
            continue
        break
    work(tmp_path)
    assert bytes_of(tmp_path) == whole


def test_interrupted_while_measuring_or_finishing(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(epoch: int, stack: Any) -> float:
        if epoch == 2:
            raise Stop
        return epoch / 10

    with pytest.raises(Stop):
        work(tmp_path, on_epoch=fail)
    begun: list[int] = []
    measured: list[int] = []

    def measure(epoch: int, stack: Any) -> float:
        measured.append(epoch)
        return epoch / 10

    from lorepack.training import result

    with monkeypatch.context() as patch:
        patch.setattr(result, "write", lambda *_: (_ for _ in ()).throw(Stop()))
        with pytest.raises(Stop):
            work(tmp_path, lambda done, total: begun.append(done), measure)
    assert (begun[0], measured) == (12, [2, 3, 4])
    begun.clear()
    work(tmp_path, lambda done, total: begun.append(done))
    assert begun == [24], "nothing is left to train, only to write"
    assert bytes_of(tmp_path) == whole


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 10:
            raise Stop

    with pytest.raises(Stop):
        work(tmp_path, interrupt)
    (place,) = (tmp_path / "t/checkpoint").iterdir()
    (place / "moments.safetensors").write_bytes(b"cut")
    begun: list[int] = []
    work(tmp_path, lambda done, total: begun.append(done))
    assert begun[0] == 0
    assert bytes_of(tmp_path) == whole


def test_the_old_checkpoint_stays_until_the_new_one_is_whole(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lorepack import files

    right = files.write_manifest

    def fail(folder: Path, inputs: str, names: Any) -> None:
        if Path(folder).name == "step-00000008":
            raise Stop
        right(folder, inputs, names)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_manifest", fail)
        with pytest.raises(Stop):
            work(tmp_path)
    places = sorted(place.name for place in (tmp_path / "t/checkpoint").iterdir())
    assert places == ["step-00000006", "step-00000008"]
    begun: list[int] = []
    work(tmp_path, lambda done, total: begun.append(done))
    assert begun[0] == 6
    assert bytes_of(tmp_path) == whole


def test_another_jobs_checkpoint_does_not_count(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 10:
            raise Stop

    with pytest.raises(Stop):
        work(tmp_path, interrupt)
    begun: list[int] = []
    train(
        toy(),
        made(24),
        recipe(**{**SETTINGS, "lr": 5e-3}),
        out=tmp_path / "t",
        adapter=tmp_path / "a",
        seed=9,
        progress=lambda done, total: begun.append(done),
    )
    assert begun[0] == 0
    epochs = json.loads((tmp_path / "t/epochs.json").read_text())["epochs"]
    assert [each["reliability"] for each in epochs] == [None] * 4


def test_a_log_that_was_changed_starts_the_job_anew_and_says_so(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 10:
            raise Stop

    with pytest.raises(Stop):
        work(tmp_path, interrupt)
    (tmp_path / "t/train.jsonl").write_text("{}\n")
    done = work(tmp_path)
    assert "train.jsonl was changed: training starts from step 0" in done.warnings[0]
    assert bytes_of(tmp_path) == whole


def test_lines_after_the_checkpoint_are_cut_off(whole: dict[str, bytes], tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 10:
            raise Stop

    with pytest.raises(Stop):
        work(tmp_path, interrupt)
    with open(tmp_path / "t/train.jsonl", "ab") as log:
        log.write(b'{"step": 11}\n' * 1000 + b'{"torn')
    work(tmp_path)
    assert bytes_of(tmp_path) == whole


def test_the_threads_of_the_first_run_are_kept(whole: dict[str, bytes], tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 10:
            raise Stop

    with pytest.raises(Stop):
        work(tmp_path, interrupt)
    torch.set_num_threads(2)
    during: list[int] = []
    done = work(tmp_path, lambda *_: during.append(torch.get_num_threads()))
    assert set(during) == {1}
    assert torch.get_num_threads() == 2
    assert "resumed with the 1 CPU threads" in done.warnings[0]
    assert bytes_of(tmp_path) == whole


# Imports once, then lets the job run in forks of itself and kills them.
SCRIPT = """
import os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from training.test_resume import work

folder, kills, draw = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
seen = folder / "seen"

def note(done, total):
    with open(seen, "a") as file:
        file.write(f"{done}\\n")

def lines():
    return len(seen.read_text().splitlines()) if seen.exists() else 0

def ended(child):
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

for number in range(kills + 1):
    child = os.fork()
    if child == 0:
        work(folder, note)
        os._exit(0)
    goal, delay = lines() + draw.randint(2, 9), draw.random() * 0.05
    while number < kills and not ended(child):
        if lines() >= goal:
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
            break
        time.sleep(0.001)
    _, status = os.waitpid(child, 0)
    print(status)
"""


@pytest.mark.parametrize(("kills", "seed"), [(3, 0), pytest.param(10, 1, marks=pytest.mark.slow)])
def test_killed_by_the_system_at_random_moments(
    kills: int, seed: int, whole: dict[str, bytes], tmp_path: Path
) -> None:
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    killed = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(kills), str(seed)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    statuses = [int(line) for line in killed.stdout.split()]
    assert statuses[0] == signal.SIGKILL, "nothing was killed"
    assert statuses[-1] == 0
    assert bytes_of(tmp_path) == whole
    steps = [int(line) for line in (tmp_path / "seen").read_text().splitlines()]
    again = [later - earlier for earlier, later in itertools.pairwise(steps)]
    assert min(again) >= -4, "redoes more than one checkpoint interval"
