"""A name gets one number for ever, and two names never share one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.facts.dbpedia.names import Names, Table, hashes, marks

BYTES = st.binary(max_size=40)


def array(names: list[bytes]) -> pa.BinaryArray:
    return pa.array(names, pa.binary())


@settings(deadline=None)
@given(blocks=st.lists(st.lists(BYTES, unique=True, max_size=20), max_size=6))
def test_numbers_are_those_of_a_dictionary(blocks: list[list[bytes]]) -> None:
    names, known = Names(), dict[bytes, int]()
    for block in blocks:
        for name, number in zip(block, names.numbers(array(block)).tolist(), strict=True):
            assert known.setdefault(name, number) == number
    assert sorted(known.values()) == list(range(len(known)))
    assert [name.as_py() for name in names.all()] == sorted(known, key=lambda name: known[name])


@settings(deadline=None)
@given(names=st.lists(BYTES, min_size=1, unique=True), start=st.integers(0, 3))
def test_a_hash_is_of_the_name_alone(names: list[bytes], start: int) -> None:
    whole = hashes(array([b"before it", *names]))[1:]
    assert len(set(whole.tolist())) == len(names)
    assert whole.tolist() == [int(hashes(array([name]))[0]) for name in names]
    assert hashes(array(names)[start:]).tolist() == whole[start:].tolist()


def test_every_byte_counts() -> None:
    name = bytes(range(1, 60))
    changed = [name[:i] + bytes([name[i] ^ 128]) + name[i + 1 :] for i in range(len(name))]
    cut = [name[:i] for i in range(len(name))]
    padded = [name + bytes(n) for n in range(1, 20)]
    made = [name, *changed, *cut, *padded]
    assert len(set(hashes(array(made)).tolist())) == len(made)


def test_names_that_differ_in_two_letters_do_not_meet() -> None:
    letters = [chr(n) for n in (*range(48, 123), 228, 0x142)]
    made = [f"<http://{a}xxxxxxx{b}>".encode() for a in letters for b in letters]
    made += [f"<xxxxxx{a}xxxxxxx{b}".encode() for a in letters for b in letters]
    made += [f"<xx{a}xxxxx{b}xx".encode() for a in letters for b in letters]
    assert len(set(hashes(array(made)).tolist())) == len(made)


def test_hashes_are_spread_evenly() -> None:
    made = hashes(array([f"<http://a/{n}>".encode() for n in range(100_000)]))
    for shift in (0, 20, 44):
        counts = np.bincount((made >> np.uint64(shift)).astype(np.int64) & 255, minlength=256)
        assert counts.min() > 300
        assert counts.max() < 490


@pytest.mark.parametrize("spread", [1, 4_096])
def test_keys_that_want_one_place_are_kept_apart_while_the_table_grows(spread: int) -> None:
    table, given_numbers = Table(8), dict[int, int]()
    for start in range(0, 3_000, 500):
        keys = np.arange(start + 1, start + 501, dtype=np.uint64) * np.uint64(spread)
        numbers, fresh = table.numbers(keys)
        assert numbers[fresh].tolist() == list(range(start, start + 500))
        given_numbers |= dict(zip(keys.tolist(), numbers.tolist(), strict=True))
    again, fresh = table.numbers(np.array(list(given_numbers), np.uint64))
    assert again.tolist() == list(given_numbers.values())
    assert len(fresh) == 0


def test_marks() -> None:
    first, last, length = marks(array([b"<a>", b"", b'"x', b"."]))
    assert length.tolist() == [3, 0, 2, 1]
    some = length > 0
    assert bytes(first[some]) == b'<".'
    assert bytes(last[some]) == b">x."
    assert marks(array([b"", b""]))[2].tolist() == [0, 0]
