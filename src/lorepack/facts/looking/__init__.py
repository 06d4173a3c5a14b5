"""Looking at files of facts: showing, counting, drawing samples, parting, joining, thinning.

Every one reads its file as a stream, once or twice; what is remembered of a fact is a few numbers.
"""

from lorepack.facts.looking.deduplicating import DedupeReport, dedupe
from lorepack.facts.looking.merging import MergeReport, merge
from lorepack.facts.looking.sampling import SampleReport, sample
from lorepack.facts.looking.showing import by_ids, select
from lorepack.facts.looking.splitting import SplitReport, split
from lorepack.facts.looking.statistics import Statistics, stats

__all__ = [
    "DedupeReport",
    "MergeReport",
    "SampleReport",
    "SplitReport",
    "Statistics",
    "by_ids",
    "dedupe",
    "merge",
    "sample",
    "select",
    "split",
    "stats",
]
