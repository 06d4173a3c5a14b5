"""Passages from a file: they read back equal, and a bad row is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.errors import InputError, NotFoundError
from lorepack.facts.passage import Passage
from lorepack.facts.passages_file import read_passages

FULL = Passage("Zoë’s\nbridge.", "T", "d", "s", 2, 10, 23, "en", "2020-01-02", "mine")


def written(folder: Path, rows: list[Any], name: str = "p.jsonl") -> Path:
    path = folder / name
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz"])
def test_passages_read_back_equal(tmp_path: Path, name: str) -> None:
    passages = [FULL, Passage("Only text.")]
    path = written(tmp_path, [p.to_json() for p in passages], name)
    assert list(read_passages(path)) == passages


def test_other_fields_are_left_out_and_a_number_may_be_an_id(tmp_path: Path) -> None:
    path = written(tmp_path, [{"text": "a", "score": 1, "id": 7, "title": None}])
    assert list(read_passages(path)) == [Passage("a", id="7")]


def test_rows_come_as_they_are_read(tmp_path: Path) -> None:
    passages = read_passages(written(tmp_path, [{"text": "a"}, {"text": 1}]))
    assert next(passages) == Passage("a")
    with pytest.raises(InputError, match=r"p\.jsonl:2: 'text' is 1; expected text"):
        next(passages)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ([], "expected an object"),
        ({}, "no 'text'"),
        ({"text": " "}, "'text' is empty"),
        ({"text": "a\0"}, "NUL"),
        ({"text": "\ud800"}, "not valid UTF-8"),
        ({"text": "a", "title": ["b"]}, "'title' is"),
        ({"text": "a", "page": "1"}, "'page' is '1'; expected a number"),
        ({"text": "a", "page": True}, "'page' is True"),
        ({"text": "a", "start": -1}, "'start' is -1"),
        ({"text": "a", "start": 5, "end": 4}, "'end' 4 lies before 'start' 5"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: Any, told: str) -> None:
    with pytest.raises(InputError, match=rf"p\.jsonl:1: .*{told}"):
        list(read_passages(written(tmp_path, [row])))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        read_passages(tmp_path / "none.jsonl")
    with pytest.raises(InputError, match="is a folder"):
        read_passages(tmp_path)
    with pytest.raises(InputError, match=r"read from \.jsonl"):
        read_passages(written(tmp_path, [], "p.csv"))
    with pytest.raises(InputError, match="no passages"):
        list(read_passages(written(tmp_path, [])))


@given(st.binary(max_size=80) | st.from_regex(rb'\{"text": ?.{0,20}\}', fullmatch=True))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_bytes(data)
    try:
        list(read_passages(path))
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either is fine, a traceback is not
