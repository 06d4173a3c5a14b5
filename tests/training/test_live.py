"""What a watcher sees: every job, its state, its pace; not too often, and the end for sure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lorepack.errors import NumericError
from lorepack.training import Standing, live
from lorepack.training.live import Meter
from lorepack.training.loop import Order, train_many
from training.toy import made, recipe, toy


def orders(folder: Path, **changes: Any) -> list[Order]:
    return [
        Order(
            made(8, seed=number),
            recipe(epochs=1 + number, **changes),
            folder / f"t{number}",
            folder / f"a{number}",
            seed=number,
            name=f"job {number}" if number else "",
        )
        for number in range(3)
    ]


def watched(folder: Path, jobs: list[Order], **options: Any) -> list[list[Standing]]:
    seen: list[list[Standing]] = []

    def watch(now: Sequence[Standing]) -> None:
        seen.append(list(now))

    place = folder / "checkpoint"
    train_many(toy(), jobs, checkpoints=place, watch=watch, tokens=4096, **options)
    return seen


def test_every_job_is_seen_from_waiting_to_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SHOWN_EVERY", 0)
    seen = watched(tmp_path, orders(tmp_path), slots=2)
    assert [one.name for one in seen[0]] == [str(tmp_path / "a0"), "job 1", "job 2"]
    assert [one.job for one in seen[0]] == [0, 1, 2]
    states = [[one.state for one in now] for now in seen]
    assert states[0] == ["training", "training", "waiting"]
    assert ["done", "training", "training"] in states
    assert states[-1] == ["done"] * 3
    assert [one.step for one in seen[-1]] == [one.total for one in seen[-1]] == [2, 4, 6]
    for now in seen:
        for one in now:
            running = one.state == "training" and one.step > 0
            assert (one.tokens_per_second is not None) == running
            assert (one.seconds_left is not None) == running
            assert (one.loss is None) == (one.step == 0)


def test_pace_and_what_is_left_follow_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.5  # a step is two glances: half a second
        return now[0]

    from lorepack.training import listeners

    monkeypatch.setattr(listeners, "Meter", lambda: Meter(clock))
    jobs = orders(tmp_path)[2:]
    seen = watched(tmp_path, jobs)
    first = next(one for (one,) in seen if one.step == 1)
    batch = sum(len(e.ids) for e in jobs[0].examples) / 2
    assert first.seconds_left == pytest.approx(5 * 0.5)
    assert first.tokens_per_second is not None
    assert 0.3 * batch / 0.5 < first.tokens_per_second < 1.7 * batch / 0.5
    both = [one.tokens_per_second for (one,) in seen if one.step in (1, 2)]
    assert sum(filter(None, both)) == pytest.approx(2 * batch / 0.5), "all tokens of an epoch"


def test_it_is_called_about_four_times_a_second_and_at_the_end() -> None:
    now = [0.0]
    meter = Meter(lambda: now[0])
    shown = 0
    for _ in range(1000):  # ten seconds
        shown += meter.time_to_show()
        now[0] += 0.01
    assert 35 <= shown <= 41
    assert meter.time_to_show(last=True)


def test_a_failed_job_and_those_done_before_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched(tmp_path, orders(tmp_path)[:1])
    monkeypatch.setattr(live, "SHOWN_EVERY", 0)

    def fail(epoch: int, stack: Any) -> float:
        raise NumericError("NaN")

    jobs = orders(tmp_path)
    jobs[1] = Order(jobs[1].examples, recipe(), jobs[1].out, jobs[1].adapter, on_epoch=fail)
    seen = watched(tmp_path, jobs)
    assert [one.state for one in seen[0]] == ["done", "training", "training"]
    assert [one.state for one in seen[-1]] == ["done", "failed", "done"]
    assert [one.step for one in seen[-1]] == [2, 2, 6]
