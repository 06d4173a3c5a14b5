"""Jobs in several processes end as in one, whatever happens on the way."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from lorepack.errors import InputError, NoMemoryError, NumericError, Stopped
from lorepack.training import checkpoint, parallel
from lorepack.training.live import Standing
from lorepack.training.loop import Order, train_many
from lorepack.training.result import TrainResult
from training.test_engine import files_of, orders, require_equal
from training.toy import recipe, toy


def work(folder: Path, jobs: list[Order], lm: Any = None, **options: Any) -> list[Any]:
    return train_many(lm or toy(), jobs, checkpoints=folder / "checkpoint", **options)


def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    lm = toy(double=True)
    one, two = orders(tmp_path / "one"), orders(tmp_path / "two")
    work(tmp_path / "one", one, lm, workers=1)
    ticks: list[tuple[int, int]] = []
    found = work(tmp_path / "two", two, lm, workers=2, progress=lambda *tick: ticks.append(tick))
    for number, (mine, theirs, result) in enumerate(zip(two, one, found, strict=True)):
        require_equal(mine, theirs, 1e-9)
        assert isinstance(result, TrainResult)
        assert result.adapter == two[number].adapter
    assert ticks[-1][0] == ticks[-1][1]
    assert [done for done, _ in ticks] == sorted(done for done, _ in ticks)
    assert not (tmp_path / "two" / "checkpoint").exists()


def test_a_second_call_trains_nothing(tmp_path: Path) -> None:
    jobs = orders(tmp_path)
    first = work(tmp_path, jobs, workers=2)
    assert work(tmp_path, jobs, workers=2, progress=pytest.fail) == first


def test_a_call_that_was_stopped_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    work(tmp_path / "whole", orders(tmp_path / "whole"), workers=2)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return True

    ticks: list[tuple[int, int]] = [(0, 0)]
    with pytest.raises(Stopped) as told:
        work(
            tmp_path / "cut",
            orders(tmp_path / "cut"),
            workers=2,
            stop=stop,
            progress=lambda *tick: ticks.append(tick),
        )
    assert asked
    assert str(told.value) == f"stopped at step {ticks[-1][0]} of {ticks[-1][1]}"
    assert (tmp_path / "cut" / "checkpoint" / parallel.PARTS).is_file()
    # Who goes on with more processes parts the jobs as they were.
    work(tmp_path / "cut", orders(tmp_path / "cut"), workers=3)
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_a_killed_process_is_told_and_the_next_call_goes_on(tmp_path: Path) -> None:
    work(tmp_path / "whole", orders(tmp_path / "whole"), workers=2)
    parent, lm = os.getpid(), toy()

    def kill(*_: object) -> None:
        if os.getpid() != parent and checkpoint.newest is not None and steps.pop():
            os.kill(os.getpid(), signal.SIGKILL)

    steps = [True, False, False, False]
    handle = lm.model.get_input_embeddings().register_forward_hook(kill)
    with pytest.raises(NoMemoryError, match="signal 9"):
        work(tmp_path / "cut", orders(tmp_path / "cut"), lm, workers=2)
    handle.remove()
    work(tmp_path / "cut", orders(tmp_path / "cut"), workers=2)
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_a_job_that_breaks_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    jobs = orders(tmp_path)
    hot = jobs[1]
    jobs[1] = Order(hot.examples, recipe(lr=1e30, rank=1), hot.out, hot.adapter, seed=1)
    outcomes = work(tmp_path, jobs, workers=2)
    assert isinstance(outcomes[1], NumericError)
    assert str(hot.adapter) in str(outcomes[1])
    assert all(isinstance(other, TrainResult) for n, other in enumerate(outcomes) if n != 1)


def test_every_job_can_be_watched(tmp_path: Path) -> None:
    seen: list[list[Standing]] = []
    jobs = orders(tmp_path)
    work(tmp_path, jobs, workers=2, watch=lambda jobs: seen.append(list(jobs)))
    assert [standing.job for standing in seen[-1]] == list(range(len(jobs)))
    assert {standing.state for standing in seen[-1]} == {"done"}


def test_what_was_begun_in_one_process_ends_in_one(tmp_path: Path) -> None:
    work(tmp_path / "whole", orders(tmp_path / "whole"), workers=1)
    steps: list[int] = []

    def stop() -> bool:
        steps.append(1)
        return len(steps) == 4

    with pytest.raises(Stopped):
        work(tmp_path / "cut", orders(tmp_path / "cut"), workers=1, stop=stop)
    work(tmp_path / "cut", orders(tmp_path / "cut"), workers=2)
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def test_little_work_stays_in_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    used: list[int] = []
    right = parallel.workers.run
    monkeypatch.setattr(
        parallel.workers, "run", lambda count, *rest: used.append(count) or right(count, *rest)
    )
    work(tmp_path / "little", orders(tmp_path / "little"))
    assert used == []
    monkeypatch.setattr(parallel, "WORTH", 10)
    work(tmp_path / "much", orders(tmp_path / "much"))
    assert used == [2]


class Kept:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.steps: dict[str, list[int]] = {}
        self.closed = 0

    def log(self, job: str, step: int, values: Any) -> None:
        self.steps.setdefault(job, []).append(step)

    def close(self) -> None:
        self.closed += 1


def test_sinks_hear_all_processes(tmp_path: Path) -> None:
    sink, jobs = Kept(), orders(tmp_path)
    found = work(tmp_path, jobs, workers=2, sinks=[sink])
    for job, result in zip(jobs, found, strict=True):
        steps = [step for step in sink.steps[str(job.adapter)] if step]
        assert set(steps) == set(range(1, result.steps + 1))
    assert sink.closed == 1


def test_damaged_parts_are_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        work(tmp_path, orders(tmp_path), workers=2, stop=lambda: True)
    (tmp_path / "checkpoint" / parallel.PARTS).write_text("{")
    with pytest.raises(InputError, match=r"parts.json is damaged .* remove .*checkpoint to begin"):
        work(tmp_path, orders(tmp_path), workers=2)


def test_who_asks_for_other_jobs_is_told_that_work_is_lost(tmp_path: Path) -> None:
    for count in (1, 2):
        folder, notes = tmp_path / str(count), list[str]()
        steps: list[int] = []

        def stop(steps: list[int] = steps) -> bool:
            steps.append(1)
            return len(steps) > 3

        with pytest.raises(Stopped):
            work(folder, orders(folder), workers=count, stop=stop)
        work(folder, orders(folder, 4), workers=count, note=notes.append)
        assert any("of other jobs" in note and "begins anew" in note for note in notes), notes
