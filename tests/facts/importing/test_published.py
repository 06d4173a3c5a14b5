"""What holds for every published data set: one format fits, no row is lost, no file crashes."""

from __future__ import annotations

import copy
import gzip
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.errors import InputError
from lorepack.facts import Fact, load
from lorepack.facts.importing import Options, detect, import_facts, named
from lorepack.facts.importing.published import first_of, passage, split_of
from lorepack.facts.importing.registry import head_of
from lorepack.facts.importing.stored import Stored
from lorepack.facts.rows import RowError

from .published_files import DATA, SAMPLES, imported, needs_data, readable, write_sample

REAL = {
    "open-qa/popqa.json": "popqa",
    "open-qa/entity_questions_dev.jsonl": "entityquestions",
    "open-qa/nq_open_dev.jsonl": "nq-open",
    "open-qa/xquad_en.json": "squad",
    "open-qa/retrievalqa.jsonl": "retrievalqa",
    "lora-as-knowledge-memory/paperQA.json": "paperqa",
    "lora-as-knowledge-memory/paperqa_train_qa40.jsonl": "paperqa",
    "lora-as-knowledge-memory/paperqa_introductions.jsonl": "paperqa",
    "lora-as-knowledge-memory/narrativeqa_10-20k.jsonl": "narrativeqa",
}

OTHERS = {
    "phonebook": ["*/phonebook_qa_*.csv", "*/phonebook_eval_qa_*.json"],
    "counterfact": [
        "edits/counterfact.json",
        "*/counterfact_edit_?K.csv",
        "*/counterfact_eval_qa.json",
    ],
    "zsre": ["edits/zsre.json"],
    "tofu": ["fictional/tofu.jsonl"],
    "docs": ["README.md", "text/*.txt"],
}
"""what else there is, by the other formats"""


def fitting(path: Path) -> list[str]:
    """The formats of published data sets that a file fits."""
    return [name for name in SAMPLES if named(name).fits(path, head_of(path))]


@needs_data
class TestRealFiles:
    def test_each_fits_one_format_or_none_of_these(self) -> None:
        files = [path for path in DATA.rglob("*") if path.is_file()]
        assert len(files) > 40
        for path in files:
            name = REAL.get(str(path.relative_to(DATA)))
            assert fitting(path) == ([name] if name else []), path

    def test_the_format_is_told_without_help(self) -> None:
        told = {DATA / file: name for file, name in REAL.items()}
        for name, patterns in OTHERS.items():
            told |= {file: name for pattern in patterns for file in DATA.glob(pattern)}
        assert len(told) == 29
        for path in (path for path in DATA.rglob("*") if path.is_file()):
            if path in told:
                assert detect(path).name == told[path], path
            else:
                with pytest.raises(InputError, match="none that is known here"):
                    detect(path)


class TestDetection:
    @pytest.mark.parametrize("name", SAMPLES)
    def test_each_sample_fits_its_own_format_alone(self, name: str, tmp_path: Path) -> None:
        assert fitting(write_sample(name, tmp_path)) == [name]

    @pytest.mark.parametrize("name", SAMPLES)
    def test_each_sample_is_told_without_help(self, name: str, tmp_path: Path) -> None:
        assert detect(write_sample(name, tmp_path)).name == name

    @pytest.mark.parametrize("name", SAMPLES)
    def test_compressed_as_well(self, name: str, tmp_path: Path) -> None:
        path = write_sample(name, tmp_path)
        packed = path.with_name(f"{path.name}.gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        assert fitting(packed) == [name]
        unpacked, again = imported(path, name, tmp_path), imported(packed, name, tmp_path)
        assert unpacked.facts == again.facts
        assert unpacked.passages == again.passages

    def test_parquet_is_told_by_its_columns(self, tmp_path: Path) -> None:
        rows = {
            "nq-open": {"question": "q", "answer": ["a"]},
            "popqa": {"question": "q", "possible_answers": "[]", "s_pop": 1, "o_pop": 2},
            "triviaqa": {
                "question": "q",
                "question_id": "i",
                "answer": {"value": "a", "aliases": [""]},
            },
            "squad": {
                "context": "c",
                "question": "q",
                "answers": {"text": ["a"], "answer_start": [0]},
            },
            "narrativeqa": SAMPLES["narrativeqa"][1][0],
        }
        for name, row in rows.items():
            pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"{name}.parquet")
            assert fitting(tmp_path / f"{name}.parquet") == [name]

    @pytest.mark.parametrize(
        "data", [b"", b"{", b"[", b"[{]", b'{"question": "q"}', b"\xff\xfe{}", b"PAR1", b"a,b\n1,2"]
    )
    def test_other_files_fit_none(self, data: bytes, tmp_path: Path) -> None:
        for suffix in ("json", "jsonl", "csv", "parquet", "txt", "json.gz"):
            path = tmp_path / f"x.{suffix}"
            path.write_bytes(data)
            assert fitting(path) == []
        assert first_of(tmp_path, b"") is None

    def test_a_first_record_longer_than_the_head(self, tmp_path: Path) -> None:
        path = write_sample("quality", tmp_path)
        assert path.stat().st_size > len(head_of(path))
        first = first_of(path, head_of(path))
        assert first is not None
        assert first["article_id"] == "52845"


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("NQ-open.dev.jsonl", "dev"),
        ("streaminqa_eval.jsonl.gz", "eval"),
        ("validation-00000-of-00001.parquet", "validation"),
        ("QuALITY.v1.0.1.htmlstripped.train", "train"),
        ("devices.jsonl", None),
        ("train_and_test.json", None),
        ("xquad_en.json", None),
    ],
)
def test_a_name_says_the_split(name: str, split: str | None) -> None:
    assert split_of(Path(name)) == split


class TestPassages:
    def test_the_text_stays_as_it_is(self) -> None:
        made = passage("  Two\n lines. ", source="x", title=" T ", document=7)
        assert (made.text, made.title, made.document) == ("  Two\n lines. ", "T", "7")

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (None, "no_text"),
            (" \n", "no_text"),
            (3, "schema_type"),
            (["a"], "schema_type"),
            ("half \ud800", "schema_encoding"),
            ("nul \0", "schema_encoding"),
        ],
    )
    def test_what_is_no_text(self, text: Any, reason: str) -> None:
        with pytest.raises(RowError) as error:
            passage(text, source="x")
        assert error.value.kind == reason


class TestStored:
    def test_values_come_back_by_id(self) -> None:
        with Stored() as store:
            store.put("a", {"text": "Å \ud800"})
            store.put("b", "two")
            store.put("a", "another")
            assert store.get("b") == "two"
            assert store.get("a") == {"text": "Å \ud800"}  # the first one stays
            assert "a" in store
            assert store.get("c") is None
            assert store.get(None) is None
            store.put("c", 3)
            assert store.get("c") == 3


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(
        ["", " ", "[]", "['a', 'b']", '["x"]', "[1]", "['a' 'b']", "{", "\0", "\ud800"]
    )
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "question", "answers", "context", "QA", "id", "paragraphs"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=5,
)


@st.composite
def damaged(draw: st.DrawFn, value: Any) -> Any:
    """A value with parts of it replaced, dropped or doubled."""
    fate = draw(st.sampled_from(["keep", "keep", "keep", "keep", "keep", "inside", "replace"]))
    if fate == "replace":
        return draw(ANYTHING)
    if isinstance(value, dict) and fate in ("keep", "inside"):
        lost = draw(st.sampled_from([None, None, None, *value])) if fate == "inside" else None
        return {key: draw(damaged(item)) for key, item in value.items() if key != lost}
    if isinstance(value, list):
        again = value[:1] if fate == "inside" else []
        return [draw(damaged(item)) for item in [*value, *again]]
    return value


def shortened(value: Any) -> Any:
    """The same without the length of the long texts."""
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shortened(item) for item in value]
    return value[:80] if isinstance(value, str) else value


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """Hundreds of files are written here, and none must outlive a loss of power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


class TestNothingBreaks:
    @pytest.mark.parametrize("name", [name for name in SAMPLES if name != "newscrawl"])
    @settings(max_examples=25, deadline=None)
    @given(data=st.data())
    def test_damaged_values(self, name: str, data: st.DataObject) -> None:
        sample = shortened(copy.deepcopy(SAMPLES[name][1]))
        value = data.draw(damaged(sample))
        with tempfile.TemporaryDirectory() as folder:
            check(write_sample(name, Path(folder), value if value is not None else [None]), name)

    @pytest.mark.parametrize("name", SAMPLES)
    @settings(max_examples=15, deadline=None)
    @given(data=st.data())
    def test_damaged_bytes(self, name: str, data: st.DataObject) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = write_sample(name, Path(folder))
            whole = path.read_bytes()[:2_000]
            start = data.draw(st.integers(0, len(whole)))
            length = data.draw(st.integers(0, 40))
            path.write_bytes(
                whole[:start] + data.draw(st.binary(max_size=20)) + whole[start + length :]
            )
            check(path, name)

    @pytest.mark.parametrize("name", SAMPLES)
    @settings(max_examples=10, deadline=None)
    @given(
        data=st.binary(max_size=200),
        suffix=st.sampled_from([".json", ".csv", ".parquet", ".gz", ""]),
    )
    def test_any_bytes(self, name: str, data: bytes, suffix: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"x{suffix}"
            path.write_bytes(data)
            check(path, name)


def check(path: Path, name: str) -> None:
    """Importing gives a report in which every row is counted, or one clear error."""
    named(name).fits(path, head_of(path))
    rows = readable(path, name, Options())  # each row gives an item or a reason
    try:
        report = import_facts(path, path.parent / "out" / "facts.jsonl", fmt=name)
    except InputError as error:
        said = str(error)
        assert "\n" not in said
        return
    kept = [item for row in rows or [] for item in row]
    if rows is not None:
        assert report.read == len(rows)
        assert report.facts + report.passages + sum(report.rejected.values()) + sum(
            report.counts.values()
        ) == len(kept)
    else:
        assert report.broken
    if report.facts:
        facts = load(report.out)
        assert len(facts) == report.facts
        assert all(isinstance(fact, Fact) and fact.question and fact.answer for fact in facts)
    lines = report.rejected_out.read_text(encoding="utf-8").splitlines()
    assert len(lines) == sum(report.rejected.values())
    assert all(json.loads(line)["reason"] for line in lines)
