"""What one model variant made of one task, item by item: the unit that is kept and compared."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lorepack import files
from lorepack.errors import LorepackError


@dataclass
class Sheet:
    """One task, answered by the base or by one adapter.

    Attributes:
        task: its name.
        version: of the harness's task.
        template: ``plain`` or ``chat``.
        filter: names of the harness's filters.
        asked: shots asked for.
        used: ``(items,)`` shots of each item.
        overlong: items that do not fit even without shots.
        items: their names.
        metrics: metric -> ``(items,)`` values.
        totals: metric -> value over all items, of metrics that are not means.
    """

    task: str
    version: str
    template: str
    filter: str
    asked: int
    used: list[int]
    overlong: int
    items: list[str] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert all(len(values) == len(self.items) for values in self.metrics.values())

    def save(self, path: Path) -> None:
        """Write the sheet as JSON."""
        files.write_json(path, {"schema": 1, **asdict(self)})

    @classmethod
    def load(cls, path: Path) -> Sheet | None:
        """A sheet that was kept; None where there is none, or not a whole one."""
        try:
            row = dict(files.read_json(path))
            assert row.pop("schema") == 1
            sheet = cls(**row)
        except (LorepackError, AssertionError, KeyError, TypeError, ValueError):
            return None
        finite = all(math.isfinite(x) for values in sheet.metrics.values() for x in values)
        return sheet if finite and len(sheet.used) == len(sheet.items) else None
