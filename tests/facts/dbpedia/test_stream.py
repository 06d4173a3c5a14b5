"""Whatever a file holds, pyarrow gets UTF-8 of the same length; an interrupt waits, and comes."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorepack.facts.dbpedia.stream import MARK, Mended, held_interrupts

PIECES = st.sampled_from([*(sign.encode() for sign in "aéŁ🚢"), b"\xe9", b"\xed\xa0\x80"])


def pieces(path: Path, size: int) -> list[bytes]:
    stream, found = Mended(path), list[bytes]()
    while piece := stream.read(size):
        found.append(piece)
    stream.close()
    return found


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(PIECES | st.binary(max_size=3), max_size=30), size=st.integers(4, 9))
def test_bytes_that_are_no_utf8_are_marked_one_by_one(
    tmp_path: Path, parts: list[bytes], size: int
) -> None:
    data = b"".join(parts)
    (tmp_path / "f").write_bytes(data)
    found = pieces(tmp_path / "f", size)
    whole = b"".join(found)
    assert all(piece.decode() and len(piece) <= size for piece in found)
    assert len(whole) == len(data)
    kept = [(old, new) for old, new in zip(data, whole, strict=True) if new != MARK[0]]
    assert all(old == new for old, new in kept)
    try:
        data.decode()
        assert whole == data
    except UnicodeDecodeError:
        assert MARK in whole


def test_a_mark_is_told(tmp_path: Path) -> None:
    for data, marked in ((b"ab\xc3\xa9", False), (b"ab\xe9", True), (b"a\x1ab", True)):
        (tmp_path / "f").write_bytes(data)
        stream = Mended(tmp_path / "f")
        stream.read(100)
        assert stream.marked is marked


def test_an_interrupt_waits_until_it_is_asked_for() -> None:
    went_on = False
    with held_interrupts() as let_through:
        signal.raise_signal(signal.SIGINT)
        went_on = True
        with pytest.raises(KeyboardInterrupt):
            let_through()
    assert went_on


def test_an_interrupt_that_nobody_asked_for_comes_at_the_end_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), held_interrupts():
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_leaves_signals_alone() -> None:
    seen = []

    def work() -> None:
        with held_interrupts() as let_through:
            let_through()
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
