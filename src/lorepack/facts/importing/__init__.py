"""Importing facts and passages from the formats in which others publish them."""

from lorepack.facts.importing.format import Counted, Format, Options, Where
from lorepack.facts.importing.registry import HOMES, detect, named
from lorepack.facts.importing.run import ImportReport, import_facts

__all__ = [
    "HOMES",
    "Counted",
    "Format",
    "ImportReport",
    "Options",
    "Where",
    "detect",
    "import_facts",
    "named",
]
