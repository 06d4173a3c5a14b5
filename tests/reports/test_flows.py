"""The drawing of where facts went: nothing is lost, and nothing lies on top of something else."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.reports.audit_file import Matrix, afters, befores, total
from lorepack.reports.flows import HEIGHT, LABEL, Node, flow
from lorepack.reports.form import CATEGORIES

counts = st.one_of(st.just(0), st.integers(1, 10**6))
matrices = st.lists(counts, min_size=16, max_size=16).map(
    lambda cells: tuple(tuple(cells[4 * row : 4 * row + 4]) for row in range(4))
)


def ends(path: str) -> tuple[float, float]:
    """How high a ribbon is on its left and on its right."""
    ys = [float(y) for _, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]
    right = float(re.search(r"V(-?[\d.]+)", path)[1])  # type: ignore[index]
    return ys[-1] - ys[0], right - ys[3]


@given(matrices)
def test_bars_are_in_proportion_and_ribbons_fill_them(matrix: Matrix) -> None:
    if not total(matrix):
        return
    drawn = flow(matrix)
    unit = sum(node.height for node in drawn.before) / total(matrix)
    for nodes, numbers in ((drawn.before, befores(matrix)), (drawn.after, afters(matrix))):
        assert {node.name for node in nodes} == {name for name, n in numbers.items() if n}
        for node in nodes:
            assert node.height == pytest.approx(unit * numbers[node.name], abs=0.05)
    cells = [(i, j) for i in range(4) for j in range(4) if matrix[i][j]]
    assert len(drawn.ribbons) == len(cells)
    for ribbon, (i, j) in zip(drawn.ribbons, cells, strict=True):
        assert ribbon.title.startswith(f"{CATEGORIES[i]} → {CATEGORIES[j]}: {matrix[i][j]:,} fact")
        assert ribbon.move == ("same" if i == j else "better" if j < i else "worse")
        assert ends(ribbon.path) == pytest.approx([unit * matrix[i][j]] * 2, abs=0.05)


@given(matrices)
def test_ribbons_lie_behind_each_other_along_their_bars(matrix: Matrix) -> None:
    if not total(matrix):
        return
    drawn = flow(matrix)
    cells = [(i, j) for i in range(4) for j in range(4) if matrix[i][j]]
    for side, nodes in enumerate((drawn.before, drawn.after)):
        for node in nodes:
            pairs = zip(drawn.ribbons, cells, strict=True)
            mine = [ribbon.path for ribbon, cell in pairs if cell[side] == node.number]
            at = node.y
            for path in mine:
                ys = [float(y) for _, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]
                assert ys[3 * side] == pytest.approx(at, abs=0.05)
                at += ends(path)[side]
            assert at == pytest.approx(node.y + node.height, abs=0.05)


@given(matrices)
def test_labels_lie_in_the_drawing_and_not_on_each_other(matrix: Matrix) -> None:
    if not total(matrix):
        return
    drawn = flow(matrix)
    for nodes in (drawn.before, drawn.after):
        middles = [node.label_y for node in nodes]
        assert all(b - a >= LABEL - 0.02 for a, b in pairwise(middles))
        assert min(middles) >= LABEL / 2 - 0.02
        assert max(middles) <= HEIGHT - LABEL / 2 + 0.02


@given(matrices)
def test_bars_lie_in_the_drawing_and_not_on_each_other(matrix: Matrix) -> None:
    if not total(matrix):
        return

    def check(nodes: tuple[Node, ...]) -> None:
        for above, below in pairwise(nodes):
            assert below.y > above.y + above.height
        assert nodes[0].y >= 0
        assert nodes[-1].y + nodes[-1].height <= HEIGHT

    drawn = flow(matrix)
    check(drawn.before)
    check(drawn.after)
