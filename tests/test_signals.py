"""SIGTERM stops at once, or where work that holds it lets go; elsewhere nothing changes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from lorepack import signals
from lorepack.errors import Stopped


def term() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def torn(seen: list[str]) -> None:
    try:
        term()
        seen.append("went on")
    finally:
        term()  # what cleans up is left in peace
        seen.append("cleaned up")


def test_it_stops_at_once_and_only_once() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), list[str]()
    with pytest.raises(Stopped), signals.heeded():
        torn(seen)
    assert seen == ["cleaned up"]
    assert signal.getsignal(signal.SIGTERM) == before


def asked_twice(seen: list[bool], asked: Callable[[], bool]) -> None:
    seen.append(asked())
    term()
    seen.append(asked())


def test_held_it_waits_for_the_end_of_the_block_and_can_be_asked_for() -> None:
    seen: list[bool] = []
    with pytest.raises(Stopped), signals.heeded(), signals.held() as asked:
        asked_twice(seen, asked)
    assert seen == [False, True]


def ends_by_itself() -> None:
    term()
    raise Stopped("at step 7")


def test_a_block_that_stops_by_itself_is_believed() -> None:
    with pytest.raises(Stopped, match="at step 7"), signals.heeded(), signals.held():
        ends_by_itself()


def measured(seen: list[str], early: bool) -> None:
    if early:
        term()
    with signals.released():
        seen.append("began")
        term()
        seen.append("went on")


@pytest.mark.parametrize(("early", "left"), [(False, ["began"]), (True, [])])
def test_inside_released_it_stops_at_once_also_when_it_came_before(
    early: bool, left: list[str]
) -> None:
    seen: list[str] = []
    with pytest.raises(Stopped), signals.heeded(), signals.held():
        measured(seen, early)
    assert seen == left


def test_nothing_is_left_for_the_next_block() -> None:
    with pytest.raises(Stopped), signals.heeded():
        term()
    with signals.heeded(), signals.held() as asked:
        assert not asked()


def test_a_process_that_is_not_ours_keeps_its_own_way() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with signals.held() as asked, signals.released():
            term()
            assert not asked()
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
