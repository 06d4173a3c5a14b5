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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lorepack.facts.dbpedia.dump import Dump
from lorepack.facts.dbpedia.names import Numbers

BUCKETS = ("tail", "torso", "head")


@dataclass(frozen=True)
class Selection:
    """The triples that may become facts."""

    triples: Numbers
    """``(candidates,)`` places in the dump: by relation, bucket and place"""
    groups: NDArray[np.unsignedinteger[Any]]
    """``(candidates,)`` ``relation * len(BUCKETS) + bucket``, rising; as small as they can be"""
    popularity: Numbers
    """``(entities,)`` triples that an entity is in"""
    counts: dict[str, int]
    """triples passed over, by reason"""

    def of(self, relation: int) -> Iterator[Numbers]:
        """The candidates of a relation, bucket by bucket, in the order of `BUCKETS`."""
        ends = relation * len(BUCKETS) + np.arange(len(BUCKETS) + 1)
        places = np.searchsorted(self.groups, ends.astype(self.groups.dtype))
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
    several = len(dump.subjects) - len(single)
    kept = single[asked[dump.relations[single]]] if len(single) else single
    without = len(single) - len(kept)
    del single
    subject = popularity[dump.subjects[kept]]
    groups = dump.relations[kept] * np.int32(len(BUCKETS)) + (subject > low) + (subject > high)
    groups = groups.astype(np.min_scalar_type(len(BUCKETS) * len(asked)))
    del subject
    order = np.argsort(groups, kind="stable").astype(np.int32)  # of 16 bits, it is a radix sort
    return Selection(
        triples=kept[order],
        groups=groups[order],
        popularity=popularity,
        counts={
            "several_objects": several,
            "no_template": without,
        },
    )


def popularity_of(dump: Dump) -> Numbers:
    """``(entities,)`` how many triples an entity is in, as subject or object."""
    size = len(dump.entities)
    counts = np.bincount(dump.subjects, minlength=size).astype(np.int32)
    counts += np.bincount(dump.objects, minlength=size)
    return counts


def thirds(popularity: Numbers) -> tuple[int, int]:
    """The popularities up to which an entity is of the tail, and of the torso."""
    ordered = np.sort(popularity)
    mass = np.cumsum(ordered, dtype=np.int64)
    if not len(mass):
        return 0, 0
    low, high = np.searchsorted(mass, [mass[-1] / 3, 2 * mass[-1] / 3])
    return int(ordered[low]), int(ordered[high])


def single_objects(dump: Dump) -> Numbers:
    """The first triples of the runs of one subject and relation that have one object."""
    s, p, o = dump.subjects, dump.relations, dump.objects
    if not len(s):
        return np.empty(0, np.int32)
    new = np.empty(len(s), bool)
    new[0] = True
    new[1:] = (s[1:] != s[:-1]) | (p[1:] != p[:-1])
    starts = np.flatnonzero(new)
    other = np.zeros(len(s), bool)  # an object that differs from the one before in its run
    other[1:] = ~new[1:] & (o[1:] != o[:-1])
    several = np.logical_or.reduceat(other, starts)
    return starts[~several].astype(np.int32)
