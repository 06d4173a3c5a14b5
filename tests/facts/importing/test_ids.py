"""Ids are known again, however many there are, and take little memory."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from lorepack.facts.importing.ids import Ids


@given(st.lists(st.tuples(st.sampled_from([int, str]), st.text(max_size=2))))
def test_a_thing_is_new_once(things: list[tuple[type, str]]) -> None:
    ids = Ids()
    assert [ids.add(thing) for thing in things] == [
        thing not in things[:place] for place, thing in enumerate(things)
    ]


def test_many_are_all_known_and_cost_sixteen_bytes() -> None:
    tracemalloc.start()
    ids = Ids()
    assert all(ids.add(f"id {n}") for n in range(100_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not any(ids.add(f"id {n}") for n in range(100_000))
    assert peak < 100_000 * 18
