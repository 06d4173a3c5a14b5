"""Which triples of a dump may become facts: popularity, buckets, single objects.

Sun et al. 2024, head-to-tail (arXiv 2308.10168, section 3), as used by knowledge packing (arXiv
2502.14502, section 3.1): the popularity of an entity is the number of triples that it is in; the
entities are cut into head, torso and tail where the cumulated popularity reaches thirds of the
whole; a fact belongs to the bucket of its subject. The published pipeline thins frequent
relations to about 10,000 triples before it draws some tens of each; drawing those from all is the
same draw, so nothing is thinned here.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lorepack.facts.dbpedia.dump import Dump, Numbers

BUCKETS = ("tail", "torso", "head")


@dataclass(frozen=True)
class Selection:
    """The triples that may become facts."""

    triples: NDArray[np.int64]
    """``(candidates,)`` places in the dump: by relation, bucket and place"""
    groups: NDArray[np.int64]
    """``(candidates,)`` ``relation * len(BUCKETS) + bucket``, rising"""
    popularity: Numbers
    """``(entities,)`` triples that an entity is in"""
    counts: dict[str, int]
    """triples passed over, by reason"""

    def of(self, relation: int) -> Iterator[NDArray[np.int64]]:
        """The candidates of a relation, bucket by bucket, in the order of `BUCKETS`."""
        ends = relation * len(BUCKETS) + np.arange(len(BUCKETS) + 1)
        places = np.searchsorted(self.groups, ends)
        for left, right in itertools.pairwise(places):
            yield self.triples[left:right]


def select(dump: Dump, relations: Container[str]) -> Selection:
    """The candidates of a dump.

    Args:
        dump: the triples.
        relations: full IRIs of the relations that questions can be asked of.
    """
    popularity = popularity_of(dump)
    low, high = thirds(popularity)
    single = single_objects(dump)
    asked = np.array([name in relations for name in dump.relation_names], dtype=bool)
    kept = single[asked[dump.relations[single]]] if len(single) else single
    subject = popularity[dump.subjects[kept]]
    buckets = (subject > low).astype(np.int64) + (subject > high)
    groups = dump.relations[kept] * np.int64(len(BUCKETS)) + buckets
    order = np.argsort(groups, kind="stable")
    return Selection(
        triples=kept[order],
        groups=groups[order],
        popularity=popularity,
        counts={
            "several_objects": len(dump.subjects) - len(single),
            "no_template": len(single) - len(kept),
        },
    )


def popularity_of(dump: Dump) -> Numbers:
    """``(entities,)`` how many triples an entity is in, as subject or object."""
    size = len(dump.entities)
    counts = np.bincount(dump.subjects, minlength=size) + np.bincount(dump.objects, minlength=size)
    return counts.astype(np.int32)


def thirds(popularity: Numbers) -> tuple[int, int]:
    """The popularities up to which an entity is of the tail, and of the torso."""
    ordered = np.sort(popularity)
    mass = np.cumsum(ordered, dtype=np.int64)
    if not len(mass):
        return 0, 0
    low, high = np.searchsorted(mass, [mass[-1] / 3, 2 * mass[-1] / 3])
    return int(ordered[low]), int(ordered[high])


def single_objects(dump: Dump) -> NDArray[np.int64]:
    """The first triples of the runs of one subject and relation that have one object."""
    s, p, o = dump.subjects, dump.relations, dump.objects
    if not len(s):
        return np.empty(0, np.int64)
    new = np.empty(len(s), bool)
    new[0] = True
    new[1:] = (s[1:] != s[:-1]) | (p[1:] != p[:-1])
    starts = np.flatnonzero(new)
    other = np.zeros(len(s), bool)  # an object that differs from the one before in its run
    other[1:] = ~new[1:] & (o[1:] != o[:-1])
    several = np.logical_or.reduceat(other, starts)
    return starts[~several]
