"""SIGTERM stops at once, or where work that holds it lets go; elsewhere nothing changes."""

from __future__ import annotations

import os
import signal

import pytest

from lorepack import signals
from lorepack.errors import Stopped


def term() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_it_stops_at_once_and_only_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    cleaned = False
    with pytest.raises(Stopped), signals.heeded():
        try:
            term()
            pytest.fail("went on")
        finally:
            term()  # what cleans up is left in peace
            cleaned = True
    assert cleaned
    assert signal.getsignal(signal.SIGTERM) == before


def test_held_it_waits_for_the_end_of_the_block_and_can_be_asked_for() -> None:
    seen = []
    with pytest.raises(Stopped), signals.heeded(), signals.held() as asked:
        seen.append(asked())
        term()
        seen.append(asked())
    assert seen == [False, True]


def test_a_block_that_stops_by_itself_is_believed() -> None:
    with pytest.raises(Stopped, match="at step 7"), signals.heeded(), signals.held():
        term()
        raise Stopped("at step 7")


def test_inside_released_it_stops_at_once_also_when_it_came_before() -> None:
    with pytest.raises(Stopped), signals.heeded(), signals.held(), signals.released():
        term()
        pytest.fail("went on")
    with pytest.raises(Stopped), signals.heeded(), signals.held():
        term()
        with signals.released():
            pytest.fail("went on")


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
