"""Replay: which other examples a step trains beside its own, a function of seed and step alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from lorepack.training.batches import Example, epoch_order


def drawn_before(
    seen: int, total: int, ratio: float, schedule: Literal["constant", "rising", "falling"]
) -> int:
    """Examples replayed before a job has seen so many of its own.

    The ratio is the same throughout, or rises in a line from 0 to its value at the job's end, or
    falls to 0 from it. Its integral over the examples seen, rounded down, so that fractions add
    up to whole examples and never drift.

    Args:
        seen: examples trained so far.
        total: examples that all steps train.
        ratio: examples to replay for each trained one.
        schedule: how the ratio goes.
    """
    exact = Fraction(str(ratio))  # 0.29 of a hundred are 29
    rising = Fraction(seen * seen, 2 * total)
    area = {"constant": Fraction(seen), "rising": rising, "falling": seen - rising}[schedule]
    return math.floor(exact * area)


def draw(pool: Sequence[Example], first: int, count: int, seed: int) -> list[Example]:
    """The first-th replayed example and those that follow.

    Args:
        pool: all that may be replayed; each comes once before any comes again.
        first: examples replayed before.
        count: how many.
        seed: of the order, which is new in every round.
    """
    chosen: list[Example] = []
    orders: dict[int, tuple[int, ...]] = {}
    for number in range(first, first + count):
        turn, place = divmod(number, len(pool))
        if turn not in orders:
            orders[turn] = epoch_order(len(pool), seed, turn, of="replay")
        chosen.append(pool[orders[turn][place]])
    return chosen
