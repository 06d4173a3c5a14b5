"""What is written is read again, equal facts make equal bytes, and a failure leaves nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.errors import InputError, WriteError
from lorepack.facts import Fact, load, read, write

SUFFIXES = ["jsonl", "ndjson", "csv", "parquet", "jsonl.gz", "csv.gz"]

# Any text that survives trimming; lists in cells of a table must not be mistaken for other lists.
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20
).map(lambda text: text.strip() or "x")
FACTS = st.lists(
    st.builds(
        Fact,
        question=TEXT,
        answer=TEXT,
        aliases=st.lists(TEXT, max_size=3).map(tuple),
        paraphrases=st.lists(TEXT, max_size=3).map(tuple),
        subject=st.none() | TEXT,
        relation=st.none() | TEXT,
        object=st.none() | TEXT,
        domain=st.none() | TEXT,
        popularity=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        source=st.none() | TEXT,
        split=st.none() | TEXT,
        id=st.just("") | TEXT,
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda fact: fact.id,
)


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=60)
@given(facts=FACTS)
def test_every_format_gives_the_same_facts_back(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, facts: list[Fact]
) -> None:
    path = tmp_path_factory.getbasetemp() / f"facts.{suffix}"
    assert write(path, facts) == len(facts)
    assert load(path) == facts


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_equal_facts_make_equal_bytes_at_any_time(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = [Fact(f"Who is {i}?", "Änne", aliases=("A", "B"), popularity=i / 3) for i in range(50)]
    write(tmp_path / f"one.{suffix}", facts)
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    write(tmp_path / f"two.{suffix}", iter(facts))
    assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


def test_json_lines_hold_plain_unicode_with_the_id_first(tmp_path: Path) -> None:
    write(tmp_path / "f.jsonl", [Fact("Où?", "Ici", id="x")])
    expected = '{"id": "x", "question": "Où?", "answer": "Ici"}\n'
    assert (tmp_path / "f.jsonl").read_text(encoding="utf-8") == expected


def test_parquet_has_typed_columns_even_where_all_are_empty(tmp_path: Path) -> None:
    write(tmp_path / "f.parquet", [Fact("q", "a")])
    schema = pq.read_schema(tmp_path / "f.parquet")
    assert str(schema.field("popularity").type) == "double"
    assert str(schema.field("aliases").type) == "list<element: string>"
    assert schema.names[0] == "id"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_generator_that_fails_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    def broken() -> Iterator[Fact]:
        yield from (Fact(f"q{i}", "a") for i in range(1000))
        raise InputError("in.jsonl:1001: broken")

    path = tmp_path / f"f.{suffix}"
    write(path, [Fact("q", "old")])
    with pytest.raises(InputError, match=r"in\.jsonl:1001"):
        write(path, broken())
    assert load(path) == [Fact("q", "old")]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "fact",
    [
        Fact(" ", "a"),
        Fact("q", ""),
        Fact("q", "a", id="\ud800"),
        Fact("q", "a", popularity=math.nan),
    ],
    ids=["no question", "no answer", "no Unicode", "no number"],
)
def test_facts_that_could_not_be_read_again_are_refused(
    tmp_path: Path, suffix: str, fact: Fact
) -> None:
    with pytest.raises(InputError, match="fact"):
        write(tmp_path / f"f.{suffix}", [Fact("q", "b"), fact])
    assert not list(tmp_path.iterdir())


def test_a_file_is_copied_row_by_row_from_one_format_to_another(tmp_path: Path) -> None:
    write(tmp_path / "f.csv", (Fact(f"q{i}", f"a{i}") for i in range(3000)))
    assert write(tmp_path / "f.parquet", read(tmp_path / "f.csv")) == 3000
    assert load(tmp_path / "f.parquet") == load(tmp_path / "f.csv")


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot write"):
        write(tmp_path / "file" / "f.jsonl", [Fact("q", "a")])
    with pytest.raises(InputError, match="no known format"):
        write(tmp_path / "f.xlsx", [Fact("q", "a")])
