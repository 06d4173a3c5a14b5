"""The form of ``harm.json``: outside tasks, base beside adapters, with errors and a paired test."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from lorepack.reports.form import Count, Part, Share


class Score(Part):
    """A metric's value and its standard error."""

    value: float
    stderr: float | None = None


class AdapterScore(Score):
    """The same with an adapter, and its difference to the base."""

    delta: float | None = None
    delta_stderr: float | None = None
    p: Share | None = None
    test: str = ""


class Metric(Part):
    """One metric of a task."""

    base: Score
    adapters: dict[str, AdapterScore] = Field(default_factory=dict)


class Task(Part):
    """One task, and how it was asked."""

    shots: Count | None = None
    shots_asked: Count | None = None
    limit: int | None = None
    template: str = ""
    filter: str = ""
    items: Count | None = None
    overlong: Count | None = None
    metrics: dict[str, Metric] = Field(default_factory=dict)

    @property
    def shots_dropped(self) -> int:
        """Shots that were asked for and did not fit."""
        return max(0, (self.shots_asked or 0) - (self.shots or 0))


class Harm(Part):
    """All tasks that were asked (schema 1)."""

    schema_: int = Field(alias="schema", ge=1, le=1)
    tool: str = ""
    version: str = ""
    tasks: dict[str, Task] = Field(default_factory=dict)


def parse(value: Any) -> Harm:
    """The outside harm in a JSON value; raises `pydantic.ValidationError`."""
    return Harm.model_validate(value)
