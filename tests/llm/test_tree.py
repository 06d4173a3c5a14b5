"""The tree of prefixes: what is shared is shared, and nothing is lost."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from lorepack.llm.engine.tree import ROOT, grow

Prompts = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=30), min_size=1, max_size=40)


@given(Prompts, st.integers(1, 40), st.integers(2, 6), st.data())
def test_a_node_is_a_prefix_of_all_behind_it_and_saves_what_it_must(
    prompts: list[list[int]], worth: int, few: int, data: st.DataObject
) -> None:
    kept = [data.draw(st.integers(1, len(p))) for p in prompts]
    tree = grow(prompts, worth, few, kept)
    assert sorted(tree.order.tolist()) == list(range(len(prompts)))
    behind: dict[int, list[int]] = {n: [] for n in range(len(tree.nodes))}
    for i, home in enumerate(tree.homes.tolist()):
        node = home
        while node != ROOT:
            behind[node].append(i)
            found = tree.nodes[node]
            assert prompts[found.example][: found.depth] == prompts[i][: found.depth]
            assert found.depth <= len(prompts[i]) - kept[i]
            assert found.parent < node
            node = found.parent
    for number, node_ in enumerate(tree.nodes):
        assert len(behind[number]) >= few
        branches = sum(1 for n in tree.nodes if n.parent == number)
        branches += tree.homes.tolist().count(number)
        assert (node_.depth - tree.depth(node_.parent)) * (branches - 1) >= worth


def test_exemplars_and_wordings_become_two_levels() -> None:
    shots, who, when = [9] * 80, [1, 2, 3, 4, 5], [1, 7, 8]
    prompts = [[*shots, *words, 20 + i, 50] for words in (who, when) for i in range(30)]
    tree = grow(prompts, worth=32, few=8)
    assert [(n.parent, n.depth) for n in tree.nodes] == [(ROOT, 81), (0, 85), (0, 83)]
    assert {tree.depth(h) for h in tree.homes[:30]} == {85}
    assert {tree.depth(h) for h in tree.homes[30:]} == {83}


def test_the_order_is_that_of_the_tokens() -> None:
    prompts = [list(p) for p in itertools.product((0, 3, 300, 70_000), repeat=3)]
    prompts.reverse()
    assert [prompts[i] for i in grow(prompts, 8, 4).order] == sorted(prompts)


def test_prompts_of_two_kinds_share_nothing() -> None:
    prompts = [[5] * 40 + [i] for i in range(10)] * 2
    tree = grow(prompts, 8, 4, kinds=[-1] * 10 + [0] * 10)
    assert [(n.parent, n.depth) for n in tree.nodes] == [(ROOT, 40), (ROOT, 40)]
    assert tree.homes.tolist() == [0] * 10 + [1] * 10
    assert tree.order.tolist() == list(range(20))
