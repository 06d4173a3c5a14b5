"""Where every fact went, as an alluvial drawing: ribbons from its category before to the one after.

Plain geometry for one inline SVG, coloured by the style sheet: no script draws it, and it prints.
"""

from __future__ import annotations

from dataclasses import dataclass

from lorepack.reports import figures as fig
from lorepack.reports.audit_file import Matrix, afters, befores, total
from lorepack.reports.form import CATEGORIES

WIDTH, HEIGHT = 340, 236
LEFT, RIGHT = 100, 240
"""where the bars stand; the labels have the room outside"""
BAR = 9
GAP = 10
TOP = 8
LABEL = 27
"""least distance between two labels of two lines"""


@dataclass(frozen=True)
class Node:
    """One category on one side: a bar and its label of two lines."""

    name: str
    number: int
    x: float
    y: float
    height: float
    label_y: float
    figure: str


@dataclass(frozen=True)
class Ribbon:
    """The facts that went from one category to another, as an SVG path."""

    path: str
    move: str
    """``better``, ``same`` or ``worse``"""
    title: str


@dataclass(frozen=True)
class Flow:
    """One drawing."""

    before: tuple[Node, ...]
    after: tuple[Node, ...]
    ribbons: tuple[Ribbon, ...]


def flow(matrix: Matrix) -> Flow:
    """The drawing of a transition matrix.

    Args:
        matrix: (4 before, 4 after) counts of facts, at least one.

    Returns:
        Bars and ribbons whose heights are in proportion to the facts; categories without facts
        have no bar.
    """
    whole = total(matrix)
    assert whole > 0, "a set without facts has no flow"
    left, right = befores(matrix), afters(matrix)
    shown = max(sum(map(bool, left.values())), sum(map(bool, right.values())))
    unit = (HEIGHT - 2 * TOP - GAP * (shown - 1)) / whole
    before, after = _bars(left, LEFT - BAR, unit, whole), _bars(right, RIGHT, unit, whole)
    return Flow(before, after, _ribbons(matrix, before, after, unit))


def _bars(counts: dict[str, int], x: float, unit: float, whole: int) -> tuple[Node, ...]:
    found = [(index, name, n) for index, (name, n) in enumerate(counts.items()) if n]
    used = unit * whole + GAP * (len(found) - 1)
    y = (HEIGHT - used) / 2
    places = []
    for index, name, n in found:
        places.append((index, name, n, y))
        y += n * unit + GAP
    labels = _apart([y + n * unit / 2 for _, _, n, y in places])
    return tuple(
        Node(name, index, x, round(y, 2), round(n * unit, 2), round(at, 2),
             f"{fig.count(n)} · {fig.percent(n / whole)}")
        for (index, name, n, y), at in zip(places, labels, strict=True)
    )  # fmt: skip


def _apart(middles: list[float]) -> list[float]:
    """Places of labels near the middles of their bars, none on another, all in the drawing."""
    places: list[float] = []
    for middle in middles:
        at = max(middle, LABEL / 2)
        places.append(max(at, places[-1] + LABEL) if places else at)
    limit = HEIGHT - LABEL / 2
    for index in reversed(range(len(places))):
        places[index] = min(places[index], limit)
        limit = places[index] - LABEL
    return places


def _ribbons(
    matrix: Matrix, before: tuple[Node, ...], after: tuple[Node, ...], unit: float
) -> tuple[Ribbon, ...]:
    start, end = ({node.number: node.y for node in side} for side in (before, after))
    ribbons = []
    for row in range(4):
        for column in range(4):
            if not (number := matrix[row][column]):
                continue
            move = "same" if row == column else "better" if column < row else "worse"
            title = f"{CATEGORIES[row]} → {CATEGORIES[column]}: {fig.facts(number)}"
            path = _path(start[row], end[column], number * unit)
            ribbons.append(Ribbon(path, move, title))
            start[row] += number * unit
            end[column] += number * unit
    return tuple(ribbons)


def _path(y0: float, y1: float, height: float) -> str:
    middle = (LEFT + RIGHT) / 2
    return (
        f"M{LEFT} {y0:.2f}C{middle} {y0:.2f} {middle} {y1:.2f} {RIGHT} {y1:.2f}"
        f"V{y1 + height:.2f}"
        f"C{middle} {y1 + height:.2f} {middle} {y0 + height:.2f} {LEFT} {y0 + height:.2f}Z"
    )
