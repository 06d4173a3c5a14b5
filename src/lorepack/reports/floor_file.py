"""The control questions of a probe: what a model seems to know of subjects that do not exist."""

from __future__ import annotations

from pydantic import Field

from lorepack.reports.form import Count, Part, Share


class Corrected(Part):
    """The known share with luck taken off, and its 95 % interval."""

    known: Share | None = None
    low: Share | None = None
    high: Share | None = None
    raw: Share | None = None
    floor: Share | None = None


class RelationFloor(Part):
    """The same for one relation."""

    facts: Count
    controls: Count
    known: Share | None = None
    floor: Share | None = None
    corrected: Share | None = None
    low: Share | None = None
    high: Share | None = None


class Controls(Part):
    """What the controls of one probe say."""

    per_relation: Count = 0
    questions: Count = 0
    categories: dict[str, Share] = Field(default_factory=dict)
    corrected: Corrected | None = None
    by_relation: dict[str, RelationFloor] = Field(default_factory=dict)


class ControlPair(Part):
    """The controls asked of the base, and again with the adapter on."""

    before: Controls | None = None
    after: Controls | None = None
