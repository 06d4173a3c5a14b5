"""What prompts have in common: a tree of prefixes, each worth computing once.

Few-shot prompts share their exemplars, and behind these the questions of a relation share their
wording. A node is a prefix that many prompts go on from; its states are computed behind its
parent's, and a prompt is left with the tokens that are its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np

Ids = Sequence[int]
ROOT = -1
"""the parent of a node that stands on nothing"""


@dataclass(frozen=True, slots=True)
class Node:
    """A shared prefix.

    Attributes:
        parent: the node it goes on from, or ``ROOT``.
        depth: tokens from the beginning to its end.
        example: a prompt that begins with it.
    """

    parent: int
    depth: int
    example: int


@dataclass(frozen=True, slots=True)
class Tree:
    """Prompts in sorted order and the nodes above them; a parent comes before its children.

    Attributes:
        nodes: the prefixes.
        order: ``(n,)`` indices of prompts, those with much in common beside each other.
        homes: ``(n,)`` for every prompt its node, or ``ROOT``.
    """

    nodes: tuple[Node, ...]
    order: np.ndarray
    homes: np.ndarray

    def depth(self, node: int) -> int:
        """Tokens of a node's prefix; 0 for ``ROOT``."""
        return 0 if node == ROOT else self.nodes[node].depth


def grow(
    prompts: Sequence[Ids],
    worth: int,
    few: int,
    kept: Sequence[int] | None = None,
    kinds: Sequence[int] | None = None,
) -> Tree:
    """The tree of the prefixes that save enough.

    Args:
        prompts: token ids, none empty.
        worth: least tokens that a node must save: its own tokens times its branches less one.
        few: fewest prompts behind a node.
        kept: how many of its last tokens each prompt keeps for itself, at least 1; 1 when None.
        kinds: of each prompt, from -1; prompts of two kinds share nothing. One kind when None.

    Returns:
        The tree; equal prompts, equal tree.
    """
    count = len(prompts)
    lengths = np.fromiter(map(len, prompts), np.int64, count)
    most = lengths - (1 if kept is None else np.asarray(kept, np.int64))  # (n,) may be shared
    order, common = _sorted(prompts, lengths, kinds)
    if count > 1:
        common = np.minimum(common, np.minimum(most[order[1:]], most[order[:-1]]))
    spans = _collapsed(list(_spans(common, count, worth, few)), worth)
    homes = np.full(count, ROOT, np.int64)
    nodes = []
    for number, (parent, depth, first, last) in enumerate(spans):
        nodes.append(Node(parent, depth, int(order[first])))
        homes[order[first:last]] = number  # children come later and overwrite their part
    return Tree(tuple(nodes), order, homes)


def _sorted(
    prompts: Sequence[Ids], lengths: np.ndarray, kinds: Sequence[int] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Order ``(n,)`` of the prompts by kind and tokens, and tokens ``(n - 1,)`` that neighbours in
    it share."""
    flat = np.fromiter(chain.from_iterable(prompts), np.int64, int(lengths.sum()))
    data, ends = (flat + 1).astype(">u4").tobytes(), 4 * np.cumsum(lengths)
    starts = (ends - 4 * lengths).tolist()
    keys = [data[a:b] for a, b in zip(starts, ends.tolist(), strict=True)]
    of = [0] * len(keys) if kinds is None else list(kinds)
    order = sorted(range(len(keys)), key=lambda i: (of[i], keys[i], i))
    common = [_common(keys[a], keys[b]) if of[a] == of[b] else 0 for a, b in pairwise(order)]
    return np.array(order, np.int64), np.array(common, np.int64)


def _common(one: bytes, other: bytes) -> int:
    """Leading tokens (of four bytes) that are equal, by halving: comparing bytes is quick."""
    low, high = 0, min(len(one), len(other)) // 4
    while low < high:
        middle = (low + high + 1) // 2
        if one[4 * low : 4 * middle] == other[4 * low : 4 * middle]:
            low = middle
        else:
            high = middle - 1
    return low


_Span = tuple[int, int, int, int]
"""parent, depth, first and last place in the order"""


def _spans(common: np.ndarray, count: int, worth: int, few: int) -> Iterator[_Span]:
    """Prefixes of enough prompts that are long enough, parents first."""
    made = 0
    todo = [(ROOT, 0, 0, count)]
    while todo:
        parent, above, first, last = todo.pop()
        if last - first < max(few, 2):
            continue
        inside = common[first : last - 1]
        depth = int(inside.min())
        if (depth - above) * (last - first - 1) >= worth:
            yield parent, depth, first, last
            parent, above, made = made, depth, made + 1
        cuts = [first, *(first + 1 + np.flatnonzero(inside == depth)).tolist(), last]
        todo += [
            (parent, above, a, b) for a, b in reversed(list(pairwise(cuts))) if b - a >= max(few, 2)
        ]


def _collapsed(spans: list[_Span], worth: int) -> list[_Span]:
    """Without nodes whose few branches save little: a node's branches are its children and the
    prompts that are in no child."""
    branches = [last - first for _, _, first, last in spans]
    for parent, _, first, last in spans:
        if parent != ROOT:
            branches[parent] -= last - first - 1
    above = [ROOT if s[0] == ROOT else s[0] for s in spans]
    stays: list[bool] = []
    parents: list[int] = []  # the nearest one that stays
    for number, (_, depth, _, _) in enumerate(spans):
        parent = above[number]
        if parent != ROOT and not stays[parent]:
            parent = parents[parent]
        parents.append(parent)
        gain = (depth - (spans[parent][1] if parent != ROOT else 0)) * (branches[number] - 1)
        stays.append(gain >= worth)
    numbers = np.cumsum(stays) - 1
    return [
        (ROOT if parents[i] == ROOT else int(numbers[parents[i]]), *spans[i][1:])
        for i in range(len(spans))
        if stays[i]
    ]
