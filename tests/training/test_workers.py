"""Workers: parts of equal cost, outcomes in order, and no silence when one is lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorepack.errors import InputError, NoMemoryError, Stopped
from lorepack.training import workers

Asked = Callable[[], bool]


def run(
    count: int,
    work: workers.Work,
    hear: workers.Hear = lambda *_: None,
    stop: Asked = lambda: False,
) -> Any:
    return workers.run(count, work, hear, stop)


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=40), st.integers(1, 9))
def test_every_job_is_in_one_part_and_parts_cost_alike(costs: list[float], count: int) -> None:
    parts = workers.shares(costs, count)
    assert sorted(number for part in parts for number in part) == list(range(len(costs)))
    assert len(parts) == min(count, len(costs))
    loads = [sum(costs[number] for number in part) for part in parts]
    # The dearest first: no part exceeds another by more than its own last job.
    assert max(loads) - min(loads) <= max(costs) + 1e-9


def test_outcomes_come_in_order_and_messages_are_heard() -> None:
    heard: list[tuple[int, Any]] = []

    def work(number: int, tell: workers.Tell, asked: Asked) -> Any:
        for done in range(3):
            tell(done)
        return number, torch.get_num_threads()

    found = run(2, work, lambda number, told: heard.append((number, told)))
    assert found == [(0, 1), (1, 1)]
    for number in range(2):
        assert [told for worker, told in heard if worker == number] == [0, 1, 2]


def test_an_error_of_one_worker_is_raised_and_the_others_end() -> None:
    def work(number: int, tell: workers.Tell, asked: Asked) -> None:
        if number == 0:
            raise InputError("no such fact")
        while not asked():
            time.sleep(0.01)
        raise Stopped("asked to")

    with pytest.raises(InputError, match="no such fact"):
        run(2, work)


def test_who_asks_to_stop_reaches_all_workers() -> None:
    def work(number: int, tell: workers.Tell, asked: Asked) -> None:
        while not asked():
            time.sleep(0.01)
        raise Stopped("asked to")

    with pytest.raises(Stopped, match="asked to"):
        run(2, work, stop=lambda: True)


def test_an_error_that_cannot_be_sent_is_told_in_words() -> None:
    class OwnError(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"{one} and {two}")

    def work(number: int, tell: workers.Tell, asked: Asked) -> None:
        raise OwnError(1, 2)

    with pytest.raises(RuntimeError, match="OwnError: 1 and 2"):
        run(2, work)


def test_a_worker_that_is_killed_is_told() -> None:
    def work(number: int, tell: workers.Tell, asked: Asked) -> None:
        if number == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(NoMemoryError, match="ended by signal 9"):
        run(2, work)


def test_a_fork_of_a_process_that_computed_with_threads_computes() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(6)  # more than there are workers
    weight = torch.randn(300, 300, requires_grad=True)
    (weight @ weight).sum().backward()

    def work(number: int, tell: workers.Tell, asked: Asked) -> float:
        own = torch.ones(300, 300, requires_grad=True)
        (own @ own).sum().backward()
        assert own.grad is not None
        return float(own.grad[0, 0])

    try:
        assert run(2, work) == [600.0, 600.0]
    finally:
        torch.set_num_threads(before)
