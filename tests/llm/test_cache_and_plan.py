"""Rows that split and leave; prompts that are decoded together."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from lorepack.llm.cache import RowCache, arrangement
from lorepack.llm.plan import Group, batches, groups

Prompts = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=40), min_size=1, max_size=30)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=30))
def test_an_arrangement_is_a_permutation_that_never_overwrites_a_source(parents: list[int]) -> None:
    old = np.array(parents)
    order = arrangement(old)
    assert sorted(order) == list(range(len(parents)))
    moved = [place for place in range(len(parents)) if old[order[place]] != place]
    assert not set(moved) & {int(old[order[place]]) for place in range(len(parents))}
    firsts = {p for p in parents if p < len(parents)}
    assert len(moved) == len(parents) - len(firsts)  # nothing moves that can stay


@given(st.lists(st.lists(st.integers(0, 10**6), min_size=1, max_size=20), min_size=1, max_size=6))
def test_rows_carry_their_states_through_splits(choices: list[list[int]]) -> None:
    """Against lists: every row's states are its ancestors' states."""
    cache, rows = RowCache(layers=1, columns=len(choices) + 1), [[0.0], [1.0], [2.0]]
    states = torch.tensor([row[-1] for row in rows]).reshape(-1, 1, 1, 1)
    keys, _ = cache.update(states, -states, 0)
    for step, picks in enumerate(choices):
        parents = np.array([pick % len(rows) for pick in picks])
        order = cache.arrange(parents)
        rows = [[*rows[parents[i]], 100.0 * step + i] for i in order]
        states = torch.tensor([row[-1] for row in rows]).reshape(-1, 1, 1, 1)
        keys, values = cache.update(states, -states, 0)
        assert keys[:, 0, :, 0].tolist() == rows
        assert torch.equal(keys, -values)


def test_a_prefix_is_moved_right_for_shorter_rows() -> None:
    prefix = RowCache(layers=1, columns=3)
    states = torch.tensor([[1.0], [2.0], [3.0]]).reshape(1, 1, 3, 1)
    prefix.update(states, states, 0)
    cache = RowCache(layers=1, columns=5)
    cache.begin(prefix, np.array([0, 0, 1, 2, 3, 7]))
    new = torch.full((6, 1, 1, 1), 9.0)
    keys, _ = cache.update(new, new, 0)
    assert keys[:, 0, :, 0].tolist() == [
        [1, 2, 3, 9],
        [1, 2, 3, 9],
        [0, 1, 2, 9],
        [0, 0, 1, 9],
        [0, 0, 0, 9],
        [0, 0, 0, 9],
    ]


@given(Prompts)
def test_groups_hold_every_prompt_once_and_their_prefix_is_common(prompts: list[list[int]]) -> None:
    found = groups(prompts)
    assert sorted(itertools.chain(*(g.members for g in found))) == list(range(len(prompts)))
    for group in found:
        opening = prompts[group.members[0]][: group.prefix]
        for i in group.members:
            assert prompts[i][: group.prefix] == opening
            assert len(prompts[i]) > group.prefix  # one token is left to ask


def test_two_few_shot_prefixes_in_one_call_are_two_groups() -> None:
    one, other, lone = [5] * 50, [6] * 50, [[7, 8], [9, 10, 11]]
    prompts = [[*one, i, i] for i in range(10)] + lone + [[*other, i] for i in range(10)]
    found = sorted((group.prefix, group.members) for group in groups(prompts))
    assert found == [(0, (10, 11)), (50, tuple(range(10))), (50, tuple(range(12, 22)))]


def test_a_prompt_that_begins_all_others_keeps_one_token_to_ask() -> None:
    assert groups([[5] * (20 + more) for more in range(6)]) == [Group(19, tuple(range(6)))]


@given(Prompts, st.integers(1, 200), st.integers(1, 8), st.booleans())
def test_batches_keep_their_budget_and_their_order(
    prompts: list[list[int]], tokens: int, new: int, equal: bool
) -> None:
    lengths = [len(p) for p in prompts]
    made = batches(range(len(prompts)), lengths, tokens, new, equal)
    flat = list(itertools.chain(*made))
    assert sorted(flat) == list(range(len(prompts)))
    assert [lengths[i] for i in flat] == sorted(lengths, reverse=True)
    for batch in made:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or len(batch) * (longest + new) <= tokens
        assert not equal or {lengths[i] for i in batch} == {longest}
