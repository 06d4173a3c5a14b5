"""Popularity, buckets, single objects and thinning against their plain definitions."""

from __future__ import annotations

import random
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from lorepack.facts.dbpedia import read_dump, select
from lorepack.facts.dbpedia.selection import popularity_of, single_objects, thirds


@pytest.fixture
def rows() -> list[tuple[str, str, str]]:
    draw = random.Random(3)
    made = []
    for _ in range(400):
        s = f"http://a/{int(draw.random() ** 3 * 80)}"
        p = f"http://r/{draw.randrange(4)}"
        made += [(s, p, f"http://a/{draw.randrange(80)}")] * draw.choice((1, 1, 2))
        if draw.random() < 0.3:
            made.append((s, p, f"http://a/{draw.randrange(80)}"))
    return made


@pytest.fixture
def dump(rows, tmp_path: Path):
    path = tmp_path / "dump.nt"
    path.write_text("".join(f"<{s}> <{p}> <{o}> .\n" for s, p, o in rows))
    return read_dump(path)


def test_popularity_counts_the_triples_of_an_entity(rows, dump):
    plain = Counter(x for s, _, o in rows for x in (s, o))
    names = [n.as_py()[1:-1].decode() for n in dump.entities]
    assert dict(zip(names, popularity_of(dump).tolist(), strict=True)) == plain


def test_head_torso_and_tail_hold_thirds_of_the_mass(dump):
    popularity = popularity_of(dump)
    low, high = thirds(popularity)
    mass = popularity.sum()
    assert popularity[popularity < low].sum() < mass / 3 <= popularity[popularity <= low].sum()
    assert (
        popularity[popularity < high].sum() < 2 * mass / 3 <= popularity[popularity <= high].sum()
    )


def test_only_runs_with_one_object_are_kept_by_their_first_line(rows, dump):
    plain, place = [], 0
    for _, run in groupby(rows, key=lambda row: row[:2]):
        members = list(run)
        if len({o for _, _, o in members}) == 1:
            plain.append(place)
        place += len(members)
    single, several = single_objects(dump)
    assert single.tolist() == plain
    assert several == triples_of_several(rows)


def triples_of_several(rows) -> int:
    """How many triples are in runs of several objects."""
    runs = [list(run) for _, run in groupby(rows, key=lambda row: row[:2])]
    return sum(len(run) for run in runs if len({o for _, _, o in run}) > 1)


def test_relations_without_template_are_passed_over_and_counted(rows, dump):
    chosen = select(dump, {"http://r/1"})
    assert {dump.relation_names[dump.relations[t]] for t in chosen.triples} == {"http://r/1"}
    single, several = len(single_objects(dump)[0]), triples_of_several(rows)
    assert chosen.counts["several_objects"] == several
    assert chosen.counts["repeat"] == len(rows) - several - single > 0
    assert chosen.counts["no_template"] == single - len(chosen.triples)


def test_candidates_stand_in_the_bucket_of_their_subject(dump):
    chosen = select(dump, set(dump.relation_names))
    low, high = thirds(chosen.popularity)
    limits = ((0, low), (low, high), (high, 10**9))
    seen = []
    for relation in range(len(dump.relation_names)):
        for triples, (least, most) in zip(chosen.of(relation), limits, strict=True):
            popular = chosen.popularity[dump.subjects[triples]]
            assert ((least < popular) & (popular <= most)).all()
            assert (dump.relations[triples] == relation).all()
            seen += triples.tolist()
    assert sorted(seen) == single_objects(dump)[0].tolist()
