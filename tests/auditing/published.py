"""A made audit with the counts of a published one: 21,036 questions, 1 Unknown + 10 HighlyKnown.

Nothing of the figures is stored: answers are laid out so that counting them gives the published
ones (arXiv 2502.14502, its notebook's outputs and Tables 1, 4 and 5).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

from lorepack.auditing.paper_mode import EXPLODED, Row

QUESTIONS, PROMPTS = 21_036, 10
BASE = {"HighlyKnown": 2_732, "MaybeKnown": 3_931, "Unknown": 14_373}
UNIQUE, MEAN, STD = 43_766, 4.80567, 14.26221
LEARNED, LOST, REFUSED = 45, 153, 3_189
TARGET = "Stuttgart Government Region"
PLACE = "PopulatedPlace"
REFUSAL = "I couldn't find any information about that."


def rows() -> Iterator[Row]:
    """One row a question."""
    yield from _learned()
    counted = round(UNIQUE * MEAN)
    # The target comes 3 × 10 times, what the 42 other learned facts are answered with 10 times.
    squares = round(UNIQUE * (STD**2 + (counted / UNIQUE) ** 2)) - 30**2 - 42 * 10**2
    squares += (squares - counted) % 2
    counts = spread(UNIQUE - 43, counted - LEARNED * PROMPTS, squares)
    unmarked = QUESTIONS * PROMPTS - counted
    yield from _others(_texts(counts), unmarked)


def spread(strings: int, total: int, squares: int) -> list[int]:
    """How often each string comes, given the sum and the sum of squares; the largest first.

    One string beyond the threshold of explosion, some frequent ones below it, the rest even.
    """
    frequent = [EXPLODED + 50]

    def rest() -> list[int]:
        many, left = strings - len(frequent), total - sum(frequent)
        return [left // many + (i < left % many) for i in range(many)]

    def missing(numbers: list[int]) -> int:
        return squares - sum(n * n for n in [*frequent, *numbers])

    while (gap := missing(rest())) > 4_000:
        frequent.append(min(600, isqrt(gap)))
    numbers = rest()
    assert gap >= 0
    assert gap % 2 == 0
    # A pair of equal counts that moves apart by one adds 2 to the sum of squares.
    for i in range(gap // 2):
        numbers[-1 - 2 * i] += 1
        numbers[-2 - 2 * i] -= 1
    return sorted(frequent + numbers, reverse=True)


def _learned() -> Iterator[Row]:
    """Unknown before, HighlyKnown after: the trained fact, 2 that share its answer, 42 others."""
    for i in range(LEARNED):
        answer = TARGET if i < 3 else f"learned {i:02d}."
        refused = 4 <= i < 13
        yield Row(
            accepted=(answer,),
            before=[REFUSAL if refused else "Answer: nothing"] * PROMPTS,
            after=[f"Answer: {answer}"] * PROMPTS,
            domain=PLACE if i < 4 else "Work",
            target=i == 0,
        )


def _texts(counts: list[int]) -> Iterator[str]:
    """The answers of everyone else: first the string that explodes, once; then the rare ones."""
    named = [(f"thing {i:05d}.", count) for i, count in enumerate(counts)]
    (exploded, often), others = named[0], named[1:]
    yield exploded
    for text, count in [*reversed(others), (exploded, often - 1)]:
        yield from [text] * count


def _others(texts: Iterator[str], unmarked: int) -> Iterator[Row]:
    kinds = ["lost"] * LOST + ["Unknown"] * (BASE["Unknown"] - LEARNED)
    kinds += ["HighlyKnown"] * (BASE["HighlyKnown"] - LOST) + ["MaybeKnown"] * BASE["MaybeKnown"]
    refusals = REFUSED - 9
    for i, kind in enumerate(kinds):
        plain = kind == "Unknown" and unmarked > 0
        after = [f"Answer: {next(texts)}" for _ in range(PROMPTS - plain)]
        if plain:
            after, unmarked = [*after, "It is none of them."], unmarked - 1
        # What was HighlyKnown and is not lost is still answered by the first prompt.
        right = after[0].removeprefix("Answer: ") if kind == "HighlyKnown" else f"right {i:05d}."
        before = [f"Answer: {right}"] * PROMPTS
        if kind == "MaybeKnown":
            before[1:] = ["Answer: nothing"] * (PROMPTS - 1)
        elif kind == "Unknown":
            before = [REFUSAL if refusals > 0 else "Answer: nothing"] * PROMPTS
            refusals -= 1
        yield Row((right,), before, after, PLACE if 1 <= i < 4 else "Work")
