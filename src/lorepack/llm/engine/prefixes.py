"""The contexts of a tree, made when a row first needs them and given up with the last one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from lorepack.llm.engine.layout import Fresh
from lorepack.llm.engine.states import Context
from lorepack.llm.engine.tree import ROOT, Tree

_AHEAD = 2048  # rows whose contexts are made together
Key = tuple[int | None, int]
"""an adapter and a node of the tree"""
Compute = Callable[[list[Fresh]], object]


class Prefixes:
    """The states of a tree's nodes under each adapter.

    Args:
        tree: the prefixes.
        prompts: the prompts it was grown from.
        work: adapter and home of every row that will come.
        compute: runs fresh rows through the model.
        tokens: most tokens to compute at once.
    """

    def __init__(
        self,
        tree: Tree,
        prompts: Sequence[Sequence[int]],
        work: Sequence[Key],
        compute: Compute,
        tokens: int,
    ) -> None:
        self._tree, self._prompts = tree, prompts
        self._compute, self.tokens = compute, tokens
        self._left: Counter[Key] = Counter()  # rows still to come behind a node
        self._made: dict[Key, Context] = {}
        for (adapter, home), count in Counter(work).items():
            for node in (home, *self._above(home)):
                self._left[adapter, node] += count
        self._keys = sorted((k for k in self._left if k[1] != ROOT), key=lambda key: key[1])

    def get(self, key: Key) -> Context:
        """The context of a node; computed with those that come next where it is not there."""
        if key not in self._made:
            adapter, node = key
            if node == ROOT:
                self._made[key] = Context(0, adapter)
            else:
                self.get((adapter, self._tree.nodes[node].parent))
                self._make(key)
        return self._made[key]

    def _make(self, first: Key) -> None:
        """A node and those behind it whose parents are there, of the rows that come next."""
        made: list[tuple[Key, Context]] = []
        rows: list[Fresh] = []
        tokens = ahead = 0
        for key in self._keys[self._keys.index(first) :]:
            adapter, node = key
            found = self._tree.nodes[node]
            above = Context(0, adapter) if found.parent == ROOT else None
            above = self._made.get((adapter, found.parent), above)
            if key in self._made or not self._left[key] or above is None:
                continue
            ids = self._prompts[found.example][above.length : found.depth]
            tokens, ahead = tokens + len(ids), ahead + self._left[key]
            if rows and (tokens > self.tokens or ahead > _AHEAD):
                break
            made.append((key, Context(found.depth, adapter)))
            rows.append(Fresh(ids, above, makes=made[-1][1], wanted=0))
        self._compute(rows)
        self._made.update(made)

    def done(self, key: Key) -> None:
        """A row behind a node has ended and will not come again."""
        adapter, home = key
        for node in (home, *self._above(home)):
            self._left[adapter, node] -= 1
            if not self._left[adapter, node]:
                self._made.pop((adapter, node), None)

    def forget(self, tokens: int) -> None:
        """Give up all states; they are made again where they are needed, so many tokens at once."""
        self._made.clear()
        self.tokens = min(self.tokens, tokens)

    def _above(self, node: int) -> list[int]:
        found = []
        while node != ROOT:
            node = self._tree.nodes[node].parent
            found.append(node)
        return found
