"""A job that breaks is stopped and named; the others go on, and only it is tried again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lorepack.errors import InputError, NumericError, Stopped
from lorepack.training import passes
from lorepack.training.loop import Order, train_many
from lorepack.training.result import TrainResult
from training.toy import made, recipe, toy

FAILS_AT = 3


def orders(folder: Path, measured: list[tuple[int, int]] | None = None) -> list[Order]:
    """Three jobs of 6, 6 and 8 steps; the second will fail, also where its epoch ends."""

    def meter(number: int) -> Any:
        def measure(epoch: int, stack: Any) -> float:
            if measured is not None:
                measured.append((number, epoch))
            return epoch / 10

        return measure

    return [
        Order(
            made(count, seed=number),
            recipe(rank=1 + number, checkpoint_every=2),
            folder / f"t{number}",
            folder / f"a{number}",
            seed=number,
            on_epoch=meter(number),
        )
        for number, count in enumerate((12, 12, 16))
    ]


def work(folder: Path, jobs: list[Order], **options: Any) -> list[Any]:
    return train_many(toy(), jobs, checkpoints=folder / "checkpoint", **options)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The second job's loss is NaN at its fourth step, while the list is not empty."""
    on, run, sums = [1], passes._run, passes._sums
    now: list[Any] = []

    def watched_run(lm: Any, stack: Any, members: Any, *rest: Any) -> None:
        now[:] = members
        run(lm, stack, members, *rest)

    def broken_sums(student: Any, rows: Any, one: Any, *rest: Any) -> Any:
        found, weights = sums(student, rows, one, *rest)
        jobs = [now[slot] for slot, _ in one.terms]
        bad = [m.number == 1 and m.course.step == FAILS_AT and bool(on) for m in jobs]
        return found * torch.tensor([float("nan") if each else 1.0 for each in bad]), weights

    monkeypatch.setattr(passes, "_run", watched_run)
    monkeypatch.setattr(passes, "_sums", broken_sums)
    return on


def bytes_of(folder: Path, *names: str) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in names
        for path in sorted((folder / name).rglob("*"))
        if path.is_file()
    }


def test_only_the_failed_job_is_tried_again_from_its_last_good_step(
    tmp_path: Path, broken: list[int]
) -> None:
    measured: list[tuple[int, int]] = []
    outcomes = work(tmp_path, orders(tmp_path, measured))
    assert [type(one) for one in outcomes] == [TrainResult, NumericError, TrainResult]
    assert f"a1: loss is nan at step {FAILS_AT + 1} of 6" in str(outcomes[1])
    assert measured == [(0, 1), (1, 1), (2, 1), (0, 2), (2, 2)]
    others = bytes_of(tmp_path, "t0", "a0", "t2", "a2")
    assert not (tmp_path / "a1").exists()
    assert not (tmp_path / "checkpoint").exists()

    seen: list[int] = []
    again = work(tmp_path, orders(tmp_path, measured), progress=lambda done, _: seen.append(done))
    assert str(again[1]) == str(outcomes[1]), "the same cause, the same report"
    assert len(measured) == 5
    assert seen == [14, 14 + FAILS_AT], "one step is tried, nothing done is trained again"
    assert bytes_of(tmp_path, "t0", "a0", "t2", "a2") == others

    broken.clear()  # the cause is gone
    third = work(tmp_path, orders(tmp_path, measured))
    assert [type(one) for one in third] == [TrainResult] * 3
    assert measured[5:] == [(1, 2)]
    assert third[1].steps == 6
    assert bytes_of(tmp_path, "t0", "a0", "t2", "a2") == others
    assert not (tmp_path / "t1/parked").exists()
    lines = (tmp_path / "t1/train.jsonl").read_text().splitlines()
    assert [f'"step": {n + 1},' in line for n, line in enumerate(lines)] == [True] * 6


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("steps", [2, 4, 5, 7])
def test_stopped_before_or_after_the_failure_they_end_as_undisturbed(
    steps: int, tmp_path: Path
) -> None:
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    want = work(whole, orders(whole))
    left = iter([False] * (steps - 1) + [True])
    with pytest.raises(Stopped):
        work(torn, orders(torn), stop=lambda: next(left))
    got = work(torn, orders(torn))
    assert [str(one).replace("torn", "whole") for one in got] == [str(one) for one in want]
    assert bytes_of(torn, "t0", "a0", "t1", "t2", "a2") == bytes_of(
        whole, "t0", "a0", "t1", "t2", "a2"
    )


def test_a_job_whose_measurement_finds_nan_fails_alone(tmp_path: Path) -> None:
    def broken_meter(epoch: int, stack: Any) -> float:
        raise NumericError("the logits hold NaN")

    jobs = orders(tmp_path)
    jobs[1] = Order(jobs[1].examples, jobs[1].recipe, jobs[1].out, jobs[1].adapter, 1, broken_meter)
    outcomes = work(tmp_path, jobs)
    assert [type(one) for one in outcomes] == [TrainResult, NumericError, TrainResult]
    assert str(outcomes[1]) == f"adapter {tmp_path / 'a1'}: the logits hold NaN"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_measurement_that_is_no_number_stops_its_job_alone(value: float, tmp_path: Path) -> None:
    jobs = [
        Order(
            made(8, seed=n),
            recipe(),
            tmp_path / f"t{n}",
            tmp_path / f"a{n}",
            on_epoch=lambda epoch, stack, n=n: value if n == 1 else 0.5,
        )
        for n in range(3)
    ]
    found = work(tmp_path, jobs)
    assert isinstance(found[1], NumericError)
    assert f"reliability is {value} after epoch 1" in str(found[1])
    assert isinstance(found[0], TrainResult)
    assert isinstance(found[2], TrainResult)


def test_a_job_whose_measurement_failed_goes_on_when_it_works(tmp_path: Path) -> None:
    broken = [True]

    def measure(epoch: int, stack: Any) -> float:
        if broken and epoch == 2:
            raise InputError("the service is away")
        return 0.25 * epoch

    def jobs(folder: Path) -> list[Order]:
        return [
            Order(
                made(8, seed=n),
                recipe(epochs=3),
                folder / f"t{n}",
                folder / f"a{n}",
                seed=n,
                on_epoch=measure if n == 1 else None,
            )
            for n in range(3)
        ]

    found = work(tmp_path / "torn", jobs(tmp_path / "torn"))
    assert isinstance(found[1], InputError)
    assert "the service is away" in str(found[1])
    broken.clear()
    again = work(tmp_path / "torn", jobs(tmp_path / "torn"))
    whole = work(tmp_path / "whole", jobs(tmp_path / "whole"))
    assert again[1].reliability == whole[1].reliability == 0.75
    assert again[1].steps == whole[1].steps
    assert again[1].loss == pytest.approx(whole[1].loss, rel=1e-5)
