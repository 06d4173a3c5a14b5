"""A dump is read once, every line is accounted for, and the arrays say what the lines say."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lorepack.errors import InputError, NotFoundError
from lorepack.facts.dbpedia import Dump, dump, read_dump

from ..importing.test_streams import zstd

PACKED = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}
LINES = [
    "# started 2022-12-01",
    "<http://a/x> <http://r/1> <http://a/y> .",
    '<http://a/x> <http://r/1> "text with spaces"@en .',
    "<http://a/x> <http://r/2> <http://a/z> .",
    "",
    "<http://a/half",
    '<http://a/x> <http://r/2> "1923" .',
    "<http://a/x <http://r/2> <http://a/z> .",
    "<http://a/ł> <http://r/1> <http://a/x> .",
]


def written(folder: Path, lines: list[str], name: str = "dump.ttl") -> Path:
    path = folder / name
    data = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    path.write_bytes(PACKED.get(path.suffix, bytes)(data))
    return path


def triples(found: Dump) -> list[tuple[str, str, str]]:
    name = lambda i: found.entities[int(i)].as_py().decode()  # noqa: E731
    rows = zip(found.subjects, found.relations, found.objects, strict=True)
    return [(name(s), f"<{found.relation_names[p]}>", name(o)) for s, p, o in rows]


@pytest.mark.parametrize("name", ["dump.ttl", "dump.nt", *(f"dump.ttl{x}" for x in PACKED)])
def test_every_line_is_a_triple_or_counted_with_its_number(tmp_path, name):
    found = read_dump(written(tmp_path, LINES, name))
    assert triples(found) == [
        ("<http://a/x>", "<http://r/1>", "<http://a/y>"),
        ("<http://a/x>", "<http://r/2>", "<http://a/z>"),
        ("<http://a/ł>", "<http://r/1>", "<http://a/x>"),
    ]
    assert found.lines == len(LINES)
    assert found.counts == {"blank": 1, "comment": 1, "literal": 2, "malformed": 2}
    assert [number for number, _ in found.broken_lines] == [6, 8]


def test_names_keep_their_numbers_over_blocks(tmp_path, monkeypatch):
    lines = [
        f"<http://a/{i % 700}> <http://r/{i % 9}> <http://a/{i * i % 900}> ." for i in range(5_000)
    ]
    path = written(tmp_path, lines)
    whole = triples(read_dump(path))
    monkeypatch.setattr(dump, "BLOCK", 4_096)
    found = read_dump(path)
    assert triples(found) == whole == [tuple(line.split(" ")[:3]) for line in lines]
    assert len(found.entities) == len({x for s, _, o in whole for x in (s, o)})


@pytest.mark.parametrize("suffix", PACKED)
def test_a_truncated_archive_keeps_what_came_before_and_says_so(tmp_path, suffix):
    lines = [f"<http://a/{i}> <http://r/1> <http://a/{i * 7919 % 90_001}> ." for i in range(90_000)]
    path = written(tmp_path, lines, f"dump.ttl{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = read_dump(path)
    assert found.broken is not None
    assert f"dump.ttl{suffix}: breaks off" in found.broken
    assert triples(found) == [tuple(line.split(" ")[:3]) for line in lines[: len(found.subjects)]]
    # Of bz2, a block of 900,000 bytes is whole or lost; the others lose a few thousand bytes.
    least = 15_000 if suffix == ".bz2" else 25_000
    assert least < len(found.subjects) < len(lines)


def test_names_that_begin_with_nothing_printable_are_no_blank_lines(tmp_path):
    (tmp_path / "dump.nt").write_bytes(b"\0 <http://r> \0 .\n<http://a> <http://r> <http://b> .\n")
    assert read_dump(tmp_path / "dump.nt").counts == {"malformed": 1}


def test_an_empty_file_is_an_error(tmp_path):
    (tmp_path / "dump.nt").write_bytes(b"")
    with pytest.raises(InputError, match=r"dump\.nt: cannot be read as triples"):
        read_dump(tmp_path / "dump.nt")


@pytest.mark.parametrize(
    ("content", "lines"), [(b"\x00\x01" * 50, 1), (b"no triples here\n" * 3, 3)]
)
def test_a_file_of_something_else_has_no_triples(tmp_path, content, lines):
    (tmp_path / "dump.nt").write_bytes(content)
    found = read_dump(tmp_path / "dump.nt")
    assert len(found.subjects) == 0
    assert found.counts == {"malformed": lines}


def test_a_folder_is_no_dump(tmp_path):
    with pytest.raises(InputError, match="is a folder; expected one file"):
        read_dump(tmp_path)


def test_a_missing_dump_is_named(tmp_path):
    with pytest.raises(NotFoundError, match=r"none\.ttl"):
        read_dump(tmp_path / "none.ttl")


PLAIN = re.compile(r"<[^<> ]*> <[^<> ]*> <[^<> ]*> \.")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lines=st.lists(st.text('<>a. "#é', max_size=24), max_size=12))
def test_no_line_is_lost_whatever_it_holds(tmp_path, lines):
    lines = [*lines, "<http://a> <http://r> <http://b> ."]
    found = read_dump(written(tmp_path, lines))
    assert found.lines == len(lines)
    assert len(found.subjects) + sum(found.counts.values()) == len(lines)
    assert len(found.subjects) >= sum(bool(PLAIN.fullmatch(line)) for line in lines)
