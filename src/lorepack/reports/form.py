"""What the forms of all result files share: frozen, no NaN, counts and shares in their ranges."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

CATEGORIES = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")
"""Best first: the order of rows and columns in every matrix (Gekhman et al. 2024)."""

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Part(BaseModel):
    """A part of a result file; keys that this version does not know are left alone."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class CategoryCounts(Part):
    """Facts a category, before and after."""

    before: dict[str, Count]
    after: dict[str, Count]
