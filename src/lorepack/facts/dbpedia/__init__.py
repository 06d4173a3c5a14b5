"""From a dump of DBpedia's object relations to a balanced set of facts."""

from lorepack.facts.dbpedia.dump import Dump, read_dump
from lorepack.facts.dbpedia.selection import Selection, select

__all__ = ["Dump", "Selection", "read_dump", "select"]
