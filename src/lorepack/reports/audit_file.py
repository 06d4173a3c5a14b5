"""The form of ``audit.json``: what an audit found, checked while it is read.

A report shows nothing that is not in this file, so the file is checked whole before the first
number is used: shares lie in 0..1, counts are not negative, matrices are 4 × 4, and the sets that
are counted apart add up. Keys that this version does not know are left alone.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from lorepack.reports.causes_file import Causes
from lorepack.reports.drift_file import Neutral, Weights
from lorepack.reports.floor_file import ControlPair
from lorepack.reports.form import CATEGORIES, CategoryCounts, Count, Part, Share

Row = Annotated[tuple[Count, ...], Field(min_length=4, max_length=4)]
Matrix = Annotated[tuple[Row, ...], Field(min_length=4, max_length=4)]
"""(4 before, 4 after): counts of facts"""
Top = tuple[tuple[str, Count], ...]


class Reliability(Part):
    """How often the trained facts are answered right; shares over facts and prompts."""

    mean: Share | None
    all: Share | None = None
    all_low: Share | None = None
    all_high: Share | None = None
    any: Share | None = None
    any_low: Share | None = None
    any_high: Share | None = None
    low: Share | None = None
    high: Share | None = None
    facts: Count
    prompts: Count = 0


class Generality(Part):
    """The same through wordings that were not trained."""

    mean: Share | None
    low: Share | None = None
    high: Share | None = None
    facts: Count
    wordings: Count = 0


class Transitions(Part):
    """Facts by category before (rows) and after (columns); every fact is in one of three sets."""

    all: Matrix
    trained: Matrix
    rehearsed: Matrix
    untrained: Matrix
    """not in the mix: neither trained nor rehearsed"""

    @model_validator(mode="after")
    def _add_up(self) -> Transitions:
        parts = (self.trained, self.rehearsed, self.untrained)
        summed = tuple(
            tuple(map(sum, zip(*rows, strict=True))) for rows in zip(*parts, strict=True)
        )
        if summed != self.all:
            sizes = " + ".join(str(total(part)) for part in parts)
            raise ValueError(
                f"trained, rehearsed and untrained ({sizes} facts) do not add up to all "
                f"({total(self.all)}), cell by cell"
            )
        return self


class Shift(Part):
    """Facts that moved in one direction; shares of all, and of those that could move so."""

    count: Count
    of_all: Share | None = None
    of_movable: Share | None = None
    low: Share | None = None
    high: Share | None = None
    """95 % interval of ``of_all``"""


class Shifts(Part):
    """Both directions for one set of facts."""

    positive: Shift
    negative: Shift


class ShiftSets(Part):
    """Shifts of all facts and of each set; those of facts not in the mix are the spill-over."""

    all: Shifts
    trained: Shifts
    rehearsed: Shifts
    untrained: Shifts


class Refusals(Part):
    """Answers that decline, of ``answers`` before and as many after."""

    before: Count
    after: Count
    answers: Count


class Answers(Part):
    """How many different answers there are: a few that take over are a collapse."""

    distinct_before: Count
    distinct_after: Count
    total: Count
    top_before: Top = ()
    top_after: Top = ()
    collapsed: bool
    collapsed_answers: tuple[tuple[str, Count, Count], ...] = ()
    """(wrong answer that took over, times after, times before)"""
    threshold: Count | None = None


class RelationCounts(CategoryCounts):
    """Facts a category for one relation, and what became of them."""

    facts: Count
    trained: Count | None = None
    reliability: Share | None = None
    positive: Count | None = None
    negative: Count | None = None


class BucketCounts(CategoryCounts):
    """The same for facts of one popularity, or of one frequency of their answer."""

    bucket: str
    facts: Count
    positive: Count | None = None
    negative: Count | None = None


class Applied(Part):
    """Whether the adapter is in effect at all."""

    logit_difference: float


class Loss(Part):
    """One fact, rehearsed or not in the mix, that is known worse than before."""

    id: str
    question: str
    answer: str
    before: str
    after: str
    answer_before: str | None = None
    answer_after: str | None = None


class Audit(Part):
    """Everything an audit found (schema 1); parts that an older one lacks are None or empty."""

    schema_: Annotated[int, Field(alias="schema", ge=1, le=1)]
    facts: Count
    trained: Count
    reliability: Reliability | None = None
    generality: Generality | None = None
    categories: CategoryCounts
    transitions: Transitions
    shifts: ShiftSets
    refusals: Refusals | None = None
    neutral: Neutral | None = None
    answers: Answers | None = None
    by_relation: dict[str, RelationCounts] = Field(default_factory=dict)
    by_popularity: tuple[BucketCounts, ...] | None = None
    by_frequency: tuple[BucketCounts, ...] | None = None
    causes: Causes | None = None
    controls: ControlPair | None = None
    weights: Weights | None = None
    applied: Applied | None = None
    losses: tuple[Loss, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def others(self) -> int:
        """Facts that were not in the mix, neither trained nor rehearsed: those of spill-over."""
        return total(self.transitions.untrained)

    @property
    def rehearsed(self) -> int:
        """Known facts that were in the mix."""
        return total(self.transitions.rehearsed)

    @property
    def fallen(self) -> int:
        """Facts known worse than before, the trained ones aside: what the losses are taken from."""
        return self.shifts.untrained.negative.count + self.shifts.rehearsed.negative.count

    @property
    def trained_unknown(self) -> int:
        """Trained facts that were Unknown before."""
        return sum(self.transitions.trained[CATEGORIES.index("Unknown")])


def total(matrix: Matrix) -> int:
    """All facts in a matrix."""
    return sum(map(sum, matrix))


def befores(matrix: Matrix) -> dict[str, int]:
    """Facts a category before: the sums of the rows."""
    return {name: sum(row) for name, row in zip(CATEGORIES, matrix, strict=True)}


def afters(matrix: Matrix) -> dict[str, int]:
    """Facts a category after: the sums of the columns."""
    columns = zip(*matrix, strict=True)
    return {name: sum(column) for name, column in zip(CATEGORIES, columns, strict=True)}


def parse(value: Any) -> Audit:
    """The audit in a JSON value.

    Raises:
        pydantic.ValidationError: a part is missing or impossible; names it.
    """
    return Audit.model_validate(value)
