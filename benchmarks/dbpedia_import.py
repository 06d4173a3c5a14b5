"""Importing DBpedia's object relations: ours against a plain two-pass importer, same facts.

``python -m benchmarks dbpedia-import [--lines N] [--entities N] [--dump FILE] [--no-peer] --json``
makes a dump (or takes one), imports it with each in a process of its own on one core, checks that
the facts are the same, and prints lines a second of the whole wall time, output written, and peak
memory. Where rdflib can be imported, its lines a second stand beside them: parsing alone, the
lines in memory, nothing kept.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import logging
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

from benchmarks.made_dump import write_dump

RDFLIB_LINES = 200_000
_TRIPLE = re.compile(r"<([^> ]+)> <([^> ]+)> <([^> ]+)> \.\n?")


def plain_import(path: Path, out: Path) -> int:
    """The peer: one regular expression a line, the file read twice, dictionaries throughout."""
    from lorepack import facts
    from lorepack.facts.dbpedia import labels
    from lorepack.facts.dbpedia.selection import BUCKETS
    from lorepack.facts.importing.dbpedia import Candidate, DBpedia, shuffled
    from lorepack.facts.importing.format import Options
    from lorepack.facts.importing.templates import wordings_of

    options, form = Options(), DBpedia()
    popularity: Counter[str] = Counter()
    lines = 0
    with open(path, encoding="utf-8") as handle:
        for line in handle:
            lines += 1
            if found := _TRIPLE.fullmatch(line):
                popularity[found[1]] += 1
                popularity[found[3]] += 1
    ordered, total, mass, cuts = sorted(popularity.values()), popularity.total(), 0, []
    for value in ordered:
        mass += value
        while len(cuts) < 2 and mass >= total * (len(cuts) + 1) / 3:
            cuts.append(value)
    low, high = cuts
    singles: list[tuple[str, str, str, int]] = []
    run: tuple[str, str] | None = None
    objects: set[str] = set()
    first = ("", "", "", 0)

    def close() -> None:
        if run and len(objects) == 1:
            singles.append(first)

    with open(path, encoding="utf-8") as handle:
        for line in handle:
            found = _TRIPLE.fullmatch(line)
            if not found:
                continue
            s, p, o = found.groups()
            bucket = (popularity[s] > low) + (popularity[s] > high)
            if (s, p) != run:
                close()
                run, objects, first = (s, p), set(), (s, p, o, bucket)
            objects.add(o)
    close()
    groups: dict[str, dict[int, list[tuple[str, str, int]]]] = {}
    for s, p, o, bucket in singles:
        groups.setdefault(p, {}).setdefault(bucket, []).append((s, o, popularity[s]))
    named = sorted((labels.relation_name(p), p) for p in groups)
    kept: list[Candidate] = []
    for name, p in named:
        if name in labels.LEFT_OUT or not wordings_of(name):
            continue
        rows = []
        for number, bucket in enumerate(BUCKETS):
            triples, good = groups[p].get(number, []), []
            for place in shuffled(len(triples), f"{options.seed}/{name}/{bucket}"):
                if len(good) == options.per_relation:
                    break
                s, o, popular = triples[place]
                one = Candidate.of(name, s, o)
                if isinstance(one, Candidate):
                    good.append(replace(one, bucket=bucket, popularity=popular))
            rows.append(good)
        for row in rows:
            kept += row[: min(map(len, rows))]
    random.Random(f"dbpedia/{options.seed}").shuffle(kept)

    def made() -> object:
        seen = set()
        for one in kept:
            try:
                for fact in form.items(one, options):
                    if fact.id not in seen:
                        seen.add(fact.id)
                        yield fact
            except Exception as error:
                if type(error).__name__ != "RowError":
                    raise

    facts.write(out, made())
    return lines


def ours(path: Path, out: Path) -> int:
    """Our importer; returns the lines read."""
    from lorepack.facts.importing import import_facts

    return import_facts(path, out, fmt="dbpedia").read


WAYS = {"ours": ours, "peer": plain_import}


class Count:
    """What rdflib gives its triples to."""

    triples = 0

    def triple(self, *terms: object) -> None:
        """Called for each triple."""
        self.triples += 1


def rdflib_speed(path: Path, lines: int = RDFLIB_LINES) -> int | None:
    """Lines a second that rdflib parses, of the first whole triples; None where it is not there."""
    if importlib.util.find_spec("rdflib") is None:
        return None
    from rdflib.plugins.parsers.ntriples import W3CNTriplesParser

    logging.getLogger("rdflib").setLevel(logging.CRITICAL)  # it warns of names with quotes
    with open(path, encoding="utf-8") as handle:
        good = list(islice(filter(_TRIPLE.fullmatch, handle), lines))
    sink, start = Count(), time.monotonic()
    W3CNTriplesParser(sink).parse(io.StringIO("".join(good)))
    seconds = time.monotonic() - start
    assert sink.triples == len(good)
    return round(len(good) / seconds)


def run(way: str, dump: Path, out: Path) -> dict[str, float]:
    """One import in a process of its own, on one core."""
    command = [sys.executable, "-m", "benchmarks.dbpedia_import", "--way", way, str(dump), str(out)]
    start = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = child.stdout.read() if child.stdout else ""
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - start
    if status:
        raise SystemExit(f"{way} failed")
    lines = int(output.splitlines()[-1])
    return {
        "lines": lines,
        "seconds": round(seconds, 2),
        "lines_per_second": round(lines / seconds),
        "peak_gib": round(usage.ru_maxrss / 2**20, 2),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run and print one JSON object."""
    parser = argparse.ArgumentParser("python -m benchmarks dbpedia-import", description=__doc__)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--entities", type=int, help="names to draw from in a made dump")
    parser.add_argument("--dump", type=Path, help="a dump, in place of a made one")
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--json", action="store_true", help="accepted; JSON is always printed")
    parser.add_argument("--way", nargs=3, metavar=("WAY", "DUMP", "OUT"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.way:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
        way, dump, out = given.way
        print(WAYS[way](Path(dump), Path(out)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        dump = given.dump or Path(folder) / "dump.ttl"
        if not given.dump:
            write_dump(dump, given.lines, entities=given.entities)
        made = {
            way: run(way, dump, Path(folder) / f"{way}.jsonl")
            for way in ("ours", *(() if given.no_peer else ("peer",)))
        }
        rdflib = rdflib_speed(dump)
        texts = [(Path(folder) / f"{way}.jsonl").read_bytes() for way in made]
    result = {"name": "dbpedia-import", **made, "facts": texts[0].count(b"\n")}
    result["rdflib_lines_per_second"] = rdflib
    if not given.no_peer:
        result["equal"] = texts[0] == texts[1]
        result["ratio"] = round(made["peer"]["seconds"] / made["ours"]["seconds"], 2)
    print(json.dumps(result))
    return 0 if result.get("equal", True) else 1


if __name__ == "__main__":
    raise SystemExit(main())
