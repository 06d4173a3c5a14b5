"""A budget for harm: limits, when they hold, and which point of a frontier is chosen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lorepack.auditing.strength import Point
from lorepack.errors import InputError, suggest

OWN: dict[str, tuple[float, float]] = {
    "neutral_kl": (0.0, math.inf),
    "negative_shift": (0.0, 1.0),
    "refusals": (0.0, 1.0),
    "perplexity": (0.0, math.inf),
}
"""measures that need no task, and the range of their limits; each must not be more than its limit

KL(base ‖ adapted) on neutral text, nats a token; facts that were in no mix and are known worse
than before, as a share of all such facts; refusals among the greedy answers to them; perplexity on
neutral text, after divided by before.
"""
WORLD = ("world-choice", "world-comparison", "world-truth", "world-two_hop")
HARNESS = (
    "arc_challenge",
    "arc_easy",
    "hellaswag",
    "logiqa",
    "mmlu",
    "truthfulqa_gen",
    "truthfulqa_mc1",
    "truthfulqa_mc2",
)
"""tasks whose main metric must not change by less than the limit: ``mmlu=-0.01``"""
TASKS = (*HARNESS, *WORLD)


@dataclass(frozen=True)
class Limit:
    """What one measure may be."""

    measure: str
    value: float

    @property
    def task(self) -> bool:
        """Whether it limits the change of a task's metric, from below."""
        return self.measure not in OWN

    def excess(self, value: float, error: float = 0.0) -> float:
        """How far a value is beyond the limit, in units of the limit; 0 where it holds.

        Args:
            value: of the measure.
            error: a margin; the value must hold by as much.
        """
        over = self.value - (value - error) if self.task else (value + error) - self.value
        return max(0.0, over) / (abs(self.value) or 1.0)

    def holds(self, value: float, error: float = 0.0) -> bool:
        """Whether a value keeps within the limit; see `excess`."""
        return self.excess(value, error) == 0

    def spent(self, value: float) -> float:
        """The harm of a value in units of the limit."""
        return (-value if self.task else value) / (abs(self.value) or 1.0)


def parse_limits(given: Mapping[str, Any] | Iterable[str]) -> tuple[Limit, ...]:
    """The limits of ``{"neutral_kl": 0.05}`` or ``["neutral_kl=0.05"]``, sorted by measure.

    Raises:
        InputError: not MEASURE=LIMIT, an unknown measure (with a suggestion), one given twice, a
            limit that is no number or out of its measure's range.
    """
    pairs = list(given.items()) if isinstance(given, Mapping) else [_pair(text) for text in given]
    found: dict[str, Limit] = {}
    for measure, limit in pairs:
        if measure not in (*OWN, *TASKS):
            raise InputError(
                f"budget: unknown measure {measure!r}{suggest(measure, (*OWN, *TASKS))}"
            )
        if measure in found:
            raise InputError(f"budget: {measure} is given twice; one limit each")
        found[measure] = Limit(measure, _number(measure, limit))
    return tuple(found[name] for name in sorted(found))


def _pair(text: str) -> tuple[str, str]:
    measure, equals, limit = text.partition("=")
    if not (measure.strip() and equals and limit.strip()):
        raise InputError(
            f"budget {text!r}: expected MEASURE=LIMIT, for example neutral_kl=0.05 or mmlu=-0.01"
        )
    return measure.strip(), limit.strip()


def _number(measure: str, limit: Any) -> float:
    low, high = OWN.get(measure, (-1.0, 1.0))
    try:
        value = math.nan if isinstance(limit, bool) else float(limit)
    except (TypeError, ValueError):
        value = math.nan
    if not (math.isfinite(value) and low <= value <= high):
        upto = "or more" if math.isinf(high) else f"to {high:g}"
        raise InputError(f"budget: {measure}={limit}: expected a number of {low:g} {upto}")
    return value


class BudgetSettings(BaseModel):
    """Limits, and how the point that keeps within them is searched.

    Raises:
        InputError: an unknown key (with a suggestion) or a value out of its range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    limits: dict[str, float]
    strengths: tuple[Annotated[float, Field(gt=0, le=2)], ...] = Field(
        (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0, 1.2), min_length=1
    )
    """λ that every checkpoint is measured at"""
    checkpoints: int = Field(5, ge=1, le=50)
    """most checkpoints of a training, the last among them"""
    facts: int = Field(200, ge=2)
    """most facts, trained and untrained, that are asked at every point"""
    margin: float = Field(1.0, ge=0)
    """standard errors by which a limit is to hold on the development part"""
    thirds: bool = True
    """whether lower, middle and upper layers may get strengths of their own"""
    data: str | None = None
    """folder with original files of tasks, see `lorepack.auditing.harm`"""
    items: int | None = Field(None, ge=2)
    """most items of a task, over both parts"""
    slack: float = Field(4.0, ge=1)
    """training stops where KL is this many times its limit: half the strength is a quarter of KL"""

    def __init__(self, **values: Any) -> None:
        unknown = sorted(values.keys() - BudgetSettings.model_fields.keys())
        if unknown:
            hint = suggest(unknown[0], BudgetSettings.model_fields)
            raise InputError(f"budget has no setting {unknown[0]!r}{hint}")
        if isinstance(values.get("strengths"), str):
            values["strengths"] = tuple(part.strip() for part in values["strengths"].split(","))
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(f"budget setting {where}={first['input']!r}: {first['msg']}") from None

    @classmethod
    def build(
        cls, limits: Mapping[str, Any] | Iterable[str], sets: Mapping[str, Any] | None = None
    ) -> BudgetSettings:
        """Settings from limits as a user gives them; see `parse_limits`.

        Raises:
            InputError: no limit; else as `parse_limits` and the class.
        """
        parsed = parse_limits(limits)
        if not parsed:
            raise InputError(
                "budget: no limit given; expected MEASURE=LIMIT, such as neutral_kl=0.05"
            )
        return cls(limits={limit.measure: limit.value for limit in parsed}, **(sets or {}))

    @property
    def parsed(self) -> tuple[Limit, ...]:
        """The limits, sorted by measure."""
        return parse_limits(self.limits)


@dataclass(frozen=True)
class Measured:
    """A point with what was measured of it on the development part."""

    point: Point
    reliability: float
    measures: Mapping[str, float]
    errors: Mapping[str, float]
    """standard errors of the measures, where known"""

    def to_json(self, limits: Sequence[Limit]) -> dict[str, Any]:
        """The row of ``budget.json``."""
        return {
            **self.point.to_json(),
            "reliability": self.reliability,
            "measures": dict(self.measures),
            "errors": dict(self.errors),
            "holds": all(limit.holds(self.measures[limit.measure]) for limit in limits),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Measured:
        """The point that `to_json` wrote."""
        return cls(Point.from_json(row), row["reliability"], row["measures"], row["errors"])


def choose(points: Sequence[Measured], limits: Sequence[Limit], margin: float = 1.0) -> int:
    """The place of the best point under some limits.

    A limit holds safely where the value holds by ``margin`` standard errors: the least of many
    noisy values is lower than it will be on the test part. First come the points that hold all
    limits safely; of those the most reliable, of equals the one that spends the smaller share of
    its limits (summed), then the first. Where there is none, the point with the least excess over
    the limits, margin included (summed, in units of each limit), of equals the most reliable.

    Args:
        points: at least one.
        limits: at least one, of measures that every point has.
        margin: standard errors.
    """

    def excess(one: Measured) -> float:
        return sum(
            limit.excess(one.measures[limit.measure], margin * one.errors.get(limit.measure, 0.0))
            for limit in limits
        )

    def spent(one: Measured) -> float:
        return sum(limit.spent(one.measures[limit.measure]) for limit in limits)

    return min(
        range(len(points)),
        key=lambda i: (excess(points[i]), -points[i].reliability, spent(points[i]), i),
    )


def verdict(measures: Mapping[str, float], limits: Iterable[Limit]) -> dict[str, dict[str, Any]]:
    """Of every limited measure its value on the test part, its limit, and whether it was held."""
    return {
        limit.measure: {
            "value": measures[limit.measure],
            "limit": limit.value,
            "held": limit.holds(measures[limit.measure]),
        }
        for limit in limits
    }
