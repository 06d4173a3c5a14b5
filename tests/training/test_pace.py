"""Checkpoints by the clock: when they come, what they may cost, and that they change nothing."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lorepack.errors import InputError, Stopped
from lorepack.training import checkpoint, engine
from lorepack.training.loop import Order, train_many
from lorepack.training.pace import Pace
from training.toy import made, recipe, toy


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_clock_asks_for_a_checkpoint_after_so_many_minutes() -> None:
    clock = Clock()
    pace, never = Pace(5, clock), Pace(None, clock)
    clock.now = 299
    assert not pace.due
    clock.now = 300
    assert pace.due
    assert not never.due
    with pace.saving():
        clock.now += 20
    assert not pace.due
    clock.now += 300
    assert pace.due


def test_checkpoints_take_at_most_a_tenth_of_the_time() -> None:
    clock = Clock()
    pace = Pace(1, clock)
    assert pace.affordable, "what the first costs is not known"
    with pace.saving():
        clock.now += 30
    clock.now += 30 * 9 - 1
    assert pace.due
    assert not pace.affordable
    clock.now += 1
    assert pace.affordable
    with pace.saving():
        clock.now += 0.5
    assert pace.affordable, "a short one is never put off"


def orders(folder: Path, count: int = 5, **changes: Any) -> list[Order]:
    """Jobs of 4 to 16 steps, of mixed rank, with dropout."""
    return [
        Order(
            made(7 + 3 * number, seed=number),
            recipe(rank=1 + number, dropout=0.2, epochs=2 + number % 2, **changes),
            folder / f"t{number}",
            folder / f"a{number}",
            seed=number,
        )
        for number in range(count)
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    found = {p for p in folder.rglob("*") if p.is_file() and "checkpoint" not in p.parts}
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(found)}


def work(folder: Path, stop: Callable[[], bool] | None = None, **options: Any) -> list[Any]:
    rare = orders(folder, checkpoint_every=1000)
    place = folder / "checkpoint"
    return train_many(toy(), rare, checkpoints=place, slots=3, stop=stop, **options)


@contextlib.contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The ticks at which checkpoints are written."""
    ticks: list[int] = []
    right = checkpoint.save

    def save(folder: Path, inputs: str, optimizer: Any, state: Any) -> None:
        ticks.append(state.tick)
        right(folder, inputs, optimizer, state)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save)
        yield ticks


def test_neither_their_times_nor_a_stop_change_a_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted(monkeypatch) as rare:
        work(tmp_path / "whole", checkpoint_minutes=None)
    whole = files_of(tmp_path / "whole")
    assert rare == [4], "before the first job is done, so that the rest keep their company"
    with counted(monkeypatch) as often:
        work(tmp_path / "often", checkpoint_minutes=1e-9)
    assert often == list(range(1, often[-1] + 1)), "once after every step"
    assert files_of(tmp_path / "often") == whole
    for minutes in (None, 1e-9):
        for after in (1, 3, 5, 9, 14):
            folder = tmp_path / f"{minutes}-{after}"
            left = iter([False] * (after - 1) + [True])
            with pytest.raises(Stopped, match=r"stopped at step \d+ of \d+"):
                work(folder, lambda left=left: next(left), checkpoint_minutes=minutes)
            work(folder, checkpoint_minutes=minutes)
            assert files_of(folder) == whole, folder


class KillError(BaseException):
    """Stands for SIGKILL: no checkpoint is written on the way out."""


@pytest.mark.parametrize("minutes", [None, 1e-9])
def test_a_kill_after_jobs_came_and_went_leaves_the_rest_in_the_same_company(
    minutes: float | None, tmp_path: Path
) -> None:
    work(tmp_path / "whole", checkpoint_minutes=None)
    whole = files_of(tmp_path / "whole")
    for after in (3, 5, 8, 12, 17):
        folder, seen = tmp_path / str(after), []

        def progress(done: int, total: int, seen: list[int] = seen, after: int = after) -> None:
            seen.append(done)
            if len(seen) > after:
                raise KillError

        with pytest.raises(KillError):
            work(folder, checkpoint_minutes=minutes, progress=progress)
        work(folder, checkpoint_minutes=minutes)
        assert files_of(folder) == whole, after


def test_dear_checkpoints_are_put_off_and_the_result_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work(tmp_path / "whole")

    ticks_of_clock = itertools.count()
    steady = lambda: float(next(ticks_of_clock))  # noqa: E731 - each glance takes a second
    monkeypatch.setattr(engine, "Pace", lambda minutes: Pace(minutes, steady))
    with counted(monkeypatch) as ticks:
        work(tmp_path / "dear", checkpoint_minutes=1e-9)
    assert 2 <= len(ticks) <= 4
    assert files_of(tmp_path / "dear") == files_of(tmp_path / "whole")


def test_other_files_beside_the_checkpoints_stay(tmp_path: Path) -> None:
    mine = tmp_path / "checkpoint" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("kept")
    work(tmp_path)
    assert [p.name for p in mine.parent.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("option", ["slots", "tokens", "checkpoint_minutes"])
def test_numbers_that_are_not_positive_are_refused(option: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{option}=0: expected a number above 0"):
        train_many(toy(), orders(tmp_path), checkpoints=tmp_path / "c", **{option: 0})  # type: ignore[arg-type]
