"""Facts: what they are, reading and writing them, checking them."""

from lorepack.facts.balance import over_represented
from lorepack.facts.check import check
from lorepack.facts.fact import COLUMNS, Fact, derive_id
from lorepack.facts.reading import FactsWarning, load, read
from lorepack.facts.report import CheckReport, write_rejected
from lorepack.facts.writing import write

__all__ = [
    "COLUMNS",
    "CheckReport",
    "Fact",
    "FactsWarning",
    "check",
    "derive_id",
    "load",
    "over_represented",
    "read",
    "write",
    "write_rejected",
]
