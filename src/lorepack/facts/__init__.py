"""Facts: what they are, reading and writing them, checking them."""

from lorepack.facts.fact import COLUMNS, Fact, derive_id
from lorepack.facts.reading import FactsWarning, load, read
from lorepack.facts.writing import write

__all__ = ["COLUMNS", "Fact", "FactsWarning", "derive_id", "load", "read", "write"]
