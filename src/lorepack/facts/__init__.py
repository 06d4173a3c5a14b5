"""Facts: what they are, reading and writing them, checking them."""

from lorepack.facts.fact import COLUMNS, Fact, derive_id

__all__ = ["COLUMNS", "Fact", "derive_id"]
