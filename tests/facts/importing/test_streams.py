"""Documents of any size are read in pieces; what is broken is one line that says where."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.errors import InputError, NotFoundError
from lorepack.facts.importing import streams
from lorepack.facts.importing.streams import (
    are_lines,
    elements,
    first_record,
    kind_of,
    lines,
    small_json,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def written(folder: Path, text: str | bytes, name: str = "a.json") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("streams")


@pytest.mark.parametrize("chunk", [1, 1 << 20])
@settings(max_examples=40, deadline=None)
@given(value=st.lists(JSON, max_size=5), indent=st.sampled_from([None, 1]))
def test_a_list_comes_out_as_it_is_whatever_the_pieces(
    folder: Path, chunk: int, value: list[Any], indent: int | None
) -> None:
    path = written(folder, json.dumps(value, indent=indent, ensure_ascii=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK", chunk)
        assert list(elements(path)) == [(None, element) for element in value]


@pytest.mark.parametrize("chunk", [1, 1 << 20])
@settings(max_examples=40, deadline=None)
@given(value=st.dictionaries(st.text(), JSON, max_size=5))
def test_an_object_gives_the_elements_of_its_lists(
    folder: Path, chunk: int, value: dict[str, Any]
) -> None:
    path = written(folder, "\ufeff" + json.dumps(value))
    expected = [(key, e) for key, many in value.items() if isinstance(many, list) for e in many]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK", chunk)
        assert list(elements(path)) == expected


@settings(deadline=None)
@given(data=st.binary() | st.text('[]{}":, \\ux0123456789-eE.tfn').map(str.encode))
def test_any_bytes_are_elements_or_one_line(folder: Path, data: bytes) -> None:
    path = written(folder, data)
    for read in (elements, small_json, lines):
        said = ""
        try:
            found = read(path)
            list(found) if read is not small_json else found
        except InputError as error:
            said = str(error)
        assert not said or (str(path) in said and len(said.splitlines()) == 1)
    for name in ("a.json", "a.jsonl", "a.csv"):
        assert isinstance(first_record(Path(name), data), dict | None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", r":1: .*expected a JSON list"),
        ("7", r":1: .*expected a JSON list"),
        ('[{"a": 1},\n {"a": 2}\n {"a": 3}]', r":3: .*expected ',' or '\]'"),
        ('[{"a": 1},\n {"a": "x', r":2: .*Unterminated string"),
        ("[1, 2", r":1: .*expected ',' or '\]'"),
        ('{"a": [1]}\n{"a": [2]}', r":2: .*more than one JSON value.*jsonl"),
        ("[" * 100_000, r":1: .*cannot be read"),
        ("[" + "9" * 10_000 + "]", r":1: .*cannot be read"),
        ("{3: []}", r"key in double quotes"),
        ('{"a" []}', r"expected ':'"),
    ],
)
def test_broken_json_says_where_and_why(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        list(elements(written(tmp_path, text)))


def test_what_stands_before_the_break_is_given(tmp_path: Path) -> None:
    rows = elements(written(tmp_path, '[{"a": 1}, {"a": 2}, oops'))
    assert [next(rows), next(rows)] == [(None, {"a": 1}), (None, {"a": 2})]
    with pytest.raises(InputError, match="Expecting value"):
        next(rows)


def test_a_document_without_end_is_not_read_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "CHUNK", 64)
    monkeypatch.setattr(streams, "LINE_LIMIT", 1_000)
    with pytest.raises(InputError, match="element of more than"):
        list(elements(written(tmp_path, '["' + "x" * 10_000 + '"]')))
    monkeypatch.setattr(streams, "WHOLE_LIMIT", 2_000)
    with pytest.raises(InputError, match=r"more than .* GiB"):
        list(elements(written(tmp_path, json.dumps(["x" * 50] * 100))))
    with pytest.raises(InputError, match="more than"):
        small_json(written(tmp_path, "[" + " " * 2_000 + "]"), 1_000)


@pytest.mark.parametrize(
    ("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress),
                         (".xz", lzma.compress), (".ZST", zstd)]
)  # fmt: skip
def test_compressed_files_are_read_alike(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    text = b'\xef\xbb\xbf[{"a": "\xe2\x80\x9cx\xe2\x80\x9d"},\n {"a": 2}]\n'
    path = written(tmp_path, pack(text), "a.json" + suffix)
    assert kind_of(path) == ".json"
    assert [value for _, value in elements(path)] == [{"a": "“x”"}, {"a": 2}]
    assert list(lines(path)) == [(1, text[3:].splitlines(True)[0]), (2, b' {"a": 2}]\n')]
    if suffix:
        broken = written(tmp_path, path.read_bytes()[:-9], "b.json" + suffix)
        for read in (elements, lines):
            with pytest.raises(InputError, match=r"b\.json.*"):
                list(read(broken))


def test_what_is_not_there(tmp_path: Path) -> None:
    for read in (elements, lines):
        with pytest.raises(NotFoundError, match=r"no such file: .*nothing\.json"):
            list(read(tmp_path / "nothing.json"))
        with pytest.raises(InputError, match="is a folder"):
            list(read(tmp_path))


def test_the_first_record_of_a_head_that_is_cut_off() -> None:
    rows = [{"question": "q", "answer": "a"}] * 3
    assert first_record(Path("a.json"), json.dumps(rows).encode()[:60]) == rows[0]
    assert first_record(Path("a.json"), json.dumps({"v": 1, "data": rows}).encode()) == rows[0]
    assert first_record(Path("a.jsonl.gz"), b'\xef\xbb\xbf{"a": 1}\n{"b"') == {"a": 1}
    assert first_record(Path("a.json"), b'[{"a": "' + b"x" * 60_000) is None
    assert first_record(Path("a.csv"), b'{"a": 1}') is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"a": 1}\n{"a": 2}', True),
        ('\ufeff{"a": 1}\n \n {"a"', True),
        ('{"a": [1]}\n', False),
        ('{"a":\n{"b": 1}}', False),
        ('[{"a": 1},\n{"a": 2}]', False),
        ("", False),
    ],
)
def test_lines_are_known_whatever_the_name(tmp_path: Path, text: str, answer: bool) -> None:
    assert are_lines(written(tmp_path, text)) is answer


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd)],
)
def test_all_that_comes_before_the_end_of_a_cut_archive_is_given(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    rows = [{"n": n, "text": hashlib.sha256(str(n).encode()).hexdigest()} for n in range(30_000)]
    whole = pack(("[" + ",\n".join(map(json.dumps, rows)) + "]").encode())
    path = written(tmp_path, whole[: len(whole) * 2 // 3], f"a.json{suffix}")
    found: list[Any] = []
    with pytest.raises(InputError, match="compressed data is broken"):
        found.extend(value for _, value in elements(path))
    given_lines: list[bytes] = []
    with pytest.raises(InputError, match=rf"a\.json\{suffix}:\d+: the compressed data is broken"):
        given_lines.extend(line for _, line in lines(path))
    assert found == rows[: len(found)]
    # Of bz2, blocks of 900,000 bytes are whole or lost; the others lose a few thousand bytes.
    assert len(found) >= (9_000 if suffix == ".bz2" else 19_000)
    assert abs(len(found) - len(given_lines)) <= 1
