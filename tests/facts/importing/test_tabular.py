"""Tables of any make become facts: native columns, mapped ones, lists and nested keys."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.errors import InputError, NotFoundError
from lorepack.facts import Fact, write
from lorepack.facts.importing import Options, import_facts
from lorepack.facts.lines import BrokenLineError
from lorepack.facts.rows import RowError
from lorepack.facts.tables import rows_of_cells

from .published_files import DATA, imported, made_of, needs_data

FULL = Fact(
    "Who wrote “it”?",
    "Ann",
    aliases=("A. Nile", "Ann | Nile"),
    paraphrases=("By whom is it?",),
    subject="it",
    relation="author",
    object="Ann",
    domain="Work",
    popularity=3.5,
    source="made",
    split="train",
    id="f-1",
)
FOREIGN = {"query": "Who?", "target": ["Ann", "A."], "meta": {"pop": 3, "who": "it"}, "id": 7}
MAPPED = {"question": "query", "answer": "target", "popularity": "meta.pop", "subject": "meta.who"}
EXPECTED = Fact("Who?", "Ann", aliases=("A.",), subject="it", popularity=3.0)


def jsonl(folder: Path, *rows: Any, name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def table(folder: Path, *rows: list[str], name: str = "a.csv") -> Path:
    path = folder / name
    with open(path, "w", newline="", encoding="utf-8-sig") as handle:
        csv.writer(handle, delimiter="\t" if name.endswith("tsv") else ",").writerows(rows)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.csv.gz"])
def test_what_lorepack_writes_is_imported_unchanged(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, [FULL, Fact("Who?", "Bob")])
    done = imported(tmp_path / name, name.split(".")[1], tmp_path)
    assert done.facts == [FULL, Fact("Who?", "Bob")]
    assert done.report.rejected == {}


class TestColumns:
    @pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.parquet"])
    def test_other_names_and_nested_keys(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / name
        if name == "a.jsonl":
            jsonl(tmp_path, FOREIGN)
        elif name == "a.json":
            path.write_text(json.dumps([FOREIGN]))
        else:
            pq.write_table(pa.Table.from_pylist([FOREIGN]), path)
        done = imported(path, name.removeprefix("a."), tmp_path, columns=MAPPED)
        assert done.facts == [EXPECTED]

    def test_a_list_in_a_cell(self, tmp_path: Path) -> None:
        path = table(
            tmp_path,
            ["Query", "gold", "others"],
            ["Who?", "['Ann', \"A's\"]", "x | y"],
            ["How many?", "[1, 2]", ""],
            ["Who else?", "['Ann' 'Bob']", ""],
            ["Where?", "[]", ""],
        )
        columns = {"question": "query", "answer": "gold", "aliases": "others"}
        done = imported(path, "csv", tmp_path, columns=columns)
        assert done.facts == [
            Fact("Who?", "Ann", aliases=("A's", "x | y")),
            Fact("How many?", "[1, 2]"),
        ]
        assert done.report.rejected == {"no_answer": 1, "schema_list": 1}
        assert [row["line"] for row in done.rejected] == [4, 5]

    def test_a_list_among_native_columns(self, tmp_path: Path) -> None:
        path = jsonl(tmp_path, {"question": "Who?", "answer": ["Ann", "A."], "aliases": "B."})
        assert imported(path, "jsonl", tmp_path).facts[0].accepted == ("Ann", "A.", "B.")

    @pytest.mark.parametrize(
        ("row", "hint"),
        [
            ({"input": "q", "output": "a"}, "--question input --answer output"),
            ({"question": "q", "gold": "a"}, "no column 'answer'; .*perhaps: --answer gold$"),
            ({"question": "q", "Best Answer": "a"}, "perhaps: --answer 'Best Answer'$"),
            ({"x": "q"}, "--question COLUMN --answer COLUMN"),
        ],
    )
    def test_other_names_are_suggested_and_not_guessed(
        self, tmp_path: Path, row: dict[str, str], hint: str
    ) -> None:
        tables = [jsonl(tmp_path, row), table(tmp_path, list(row), list(row.values()))]
        (tmp_path / "a.json").write_text(json.dumps([row]))
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
        for path in (*tables, tmp_path / "a.json", tmp_path / "a.parquet"):
            with pytest.raises(InputError, match=hint):
                import_facts(path, tmp_path / "o.jsonl", fmt=path.suffix[1:])
        assert not (tmp_path / "o.jsonl").exists()

    def test_a_field_that_no_fact_has(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"no field 'anser'; did you mean answer\?"):
            imported(jsonl(tmp_path, FOREIGN), "jsonl", tmp_path, columns={"anser": "target"})

    @needs_data
    def test_popqa_by_hand_equals_its_own_format(self, tmp_path: Path) -> None:
        columns = {"question": "input", "answer": "output", "popularity": "s_pop"}
        source = DATA / "open-qa/popqa.json"
        done = imported(source, "json", tmp_path, columns=columns)
        assert done.numbers == (2_000, 1_986, 0, {"repeat": 14})
        theirs = imported(source, "popqa", tmp_path).facts
        assert [f.accepted for f in done.facts] == [f.accepted for f in theirs]
        assert imported(source, "json", tmp_path, columns=columns, split="dev").report.read == 1_000

    @needs_data
    def test_truthful_qa_with_its_byte_order_mark(self, tmp_path: Path) -> None:
        columns = {"answer": "best answer", "domain": "Category"}
        done = imported(DATA / "harm/truthfulqa.csv", "csv", tmp_path, columns=columns)
        assert done.numbers == (817, 817, 0, {})
        assert done.facts[0].question == "What happens to you if you eat watermelon seeds?"
        assert done.facts[0].domain == "Misconceptions"


class TestBrokenRows:
    def test_json_lines(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jsonl"
        path.write_bytes(
            b'\xef\xbb\xbf{"question": "q1", "answer": "a"}\n\n{"question": "q2", oops\n[1]\n'
            b'{"question": "q3"}\n{"question": "q4", "answer": ""}\n'
            b'{"question": "q\xff5", "answer": "a"}\n{"question": "q6", "answer": {"a": 1}}\n'
            b'{"question": "q7", "answer": 1998}\n{"question": "q1", "answer": "a"}\n'
        )
        done = imported(path, "jsonl", tmp_path)
        assert [(f.question, f.answer) for f in done.facts] == [("q1", "a"), ("q7", "1998")]
        assert {row["line"]: row["reason"] for row in done.rejected} == {
            3: "schema_json", 4: "schema_json", 5: "no_answer", 6: "no_answer",
            7: "schema_encoding", 8: "schema_type", 10: "repeat",
        }  # fmt: skip
        assert all(row["file"] == str(path) for row in done.rejected)

    def test_csv(self, tmp_path: Path) -> None:
        path = tmp_path / "a.csv"
        path.write_bytes(
            b'question,answer,popularity\nq1,"a\nb",2\nq2\n"q3" x,a,1\nq4,a,many\nq5,,\nq6,c,3\n'
        )
        done = imported(path, "csv", tmp_path)
        assert [(f.question, f.answer, f.popularity) for f in done.facts] == [
            ("q1", "a\nb", 2.0), ("q6", "c", 3.0)
        ]  # fmt: skip
        assert {row["line"]: row["reason"] for row in done.rejected} == {
            4: "schema_cells", 5: "schema_cells", 6: "schema_type", 7: "no_answer",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("further", "reasons"),
        [
            ("", {"schema_open_quote": 1}),
            ('"and who,me\n', {"schema_open_quote": 2}),
            ('x"\n', {"schema_open_quote": 1, "schema_cells": 1}),
        ],
    )
    def test_a_stray_quote_costs_its_own_line(
        self, tmp_path: Path, further: str, reasons: dict[str, int]
    ) -> None:
        rows = [f"q{n},a{n}\n" for n in range(1_000)]
        text = "".join([*rows[:10], '"who is,me\n', *rows[10:110], further, *rows[110:]])
        (tmp_path / "a.csv").write_text("question,answer\n" + text)
        done = imported(tmp_path / "a.csv", "csv", tmp_path)
        assert (done.report.facts, done.report.rejected) == (1_000, reasons)
        assert done.rejected[0]["line"] == 12
        assert done.rejected[0]["row"] == '"who is,me\n'

    def test_a_quote_open_where_the_file_breaks_off(self, tmp_path: Path) -> None:
        rows = [f"q{n},{n * n}\n" for n in range(20_000)]
        data = gzip.compress(("question,answer\n" + "".join(rows)).encode(), 1, mtime=0)[:-9_000]
        (tmp_path / "a.csv.gz").write_bytes(data)
        whole = import_facts(tmp_path / "a.csv.gz", tmp_path / "o.jsonl", fmt="csv")
        rows[whole.facts - 200] = '"' + rows[whole.facts - 200]
        text = ("question,answer\n" + "".join(rows)).encode()
        (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text, 1, mtime=0)[:-9_000])
        report = import_facts(tmp_path / "a.csv.gz", tmp_path / "o.jsonl", fmt="csv")
        assert report.broken
        assert report.rejected == {"schema_open_quote": 1}
        assert report.read == report.facts + 1 > whole.facts - 150

    @pytest.mark.parametrize("fmt", ["jsonl", "csv"])
    def test_a_line_that_is_too_long(
        self, tmp_path: Path, fmt: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("lorepack.facts.lines.LINE_LIMIT", 1 << 20)
        good = ['{"question": "q%d", "answer": "a"}\n', "q%d,a\n"][fmt == "csv"]
        start = "question,answer\n" if fmt == "csv" else ""
        stray = '"q,\n' if fmt == "csv" else "oops\n"
        text = start + good % 1 + stray + "x" * (3 << 20) + "\n" + good % 2 + "y" * (1 << 20)
        (tmp_path / f"a.{fmt}").write_text(text)
        done = imported(tmp_path / f"a.{fmt}", fmt, tmp_path)
        assert [fact.question for fact in done.facts] == ["q1", "q2"]
        assert done.report.rejected.pop("too_long") == 2
        assert sum(done.report.rejected.values()) == 1
        first = 3 + bool(start)
        long = [row for row in done.rejected if row["reason"] == "too_long"]
        assert [row["line"] for row in long] == [first, first + 2]
        assert "more than 1 MiB" in long[0]["message"]
        assert set(long[0]["row"]) == {"x", "…"}

    def test_a_table_that_breaks_off_keeps_what_was_whole(self, tmp_path: Path) -> None:
        text = "".join(f'{{"question": "q{n}", "answer": "a{n}"}}\n' for n in range(3_000))
        path = tmp_path / "a.jsonl.gz"
        path.write_bytes(gzip.compress(text.encode(), mtime=0)[:-2_000])
        report = import_facts(path, tmp_path / "o.jsonl", fmt="jsonl")
        assert report.broken
        assert "compressed data is broken" in report.broken
        assert 0 < report.facts == report.read < 3_000

    def test_a_list_that_breaks_off_in_its_third_row(self, tmp_path: Path) -> None:
        path = tmp_path / "a.json"
        path.write_text(
            '[{"question": "q1", "answer": "a"}, {"question": "q2", "answer": "b"}, {"q'
        )
        report = import_facts(path, tmp_path / "o.jsonl", fmt="json")
        assert (report.read, report.facts) == (2, 2)
        assert "Unterminated string" in str(report.broken)

    def test_text_of_parquet_that_is_not_utf_8(self, tmp_path: Path) -> None:
        bad = pa.array([b"q1", b"q\xff2", b"q3"]).view(pa.string())
        pq.write_table(
            pa.table({"question": bad, "answer": ["a", "b", "c"]}), tmp_path / "a.parquet"
        )
        done = imported(tmp_path / "a.parquet", "parquet", tmp_path)
        assert [fact.question for fact in done.facts] == ["q1", "q3"]
        assert done.report.rejected == {"schema_encoding": 1}
        assert done.rejected[0]["line"] == 2

    @pytest.mark.parametrize("fmt", ["jsonl", "csv", "parquet", "json"])
    def test_what_is_no_table_is_one_line(self, tmp_path: Path, fmt: str) -> None:
        with pytest.raises(NotFoundError, match="no such file"):
            import_facts(tmp_path / "nothing", tmp_path / "o.jsonl", fmt=fmt)
        (tmp_path / "empty").write_bytes(b"")
        with pytest.raises(InputError, match="empty"):
            import_facts(tmp_path / "empty", tmp_path / "o.jsonl", fmt=fmt)
        (tmp_path / "folder").mkdir()
        with pytest.raises(InputError, match="folder"):
            import_facts(tmp_path / "folder", tmp_path / "o.jsonl", fmt=fmt)


class TestSplits:
    LAYOUT = {  # noqa: RUF012
        "name": "mini",
        "dev": [{"question": "q1", "answer": "a"}],
        "test": [{"question": "q2", "answer": "b"}, {"question": "q3", "answer": "c"}],
    }

    def source(self, folder: Path, value: Any) -> Path:
        (folder / "a.json").write_text(json.dumps(value))
        return folder / "a.json"

    def test_lists_by_split(self, tmp_path: Path) -> None:
        source = self.source(tmp_path, self.LAYOUT)
        splits = [fact.split for fact in imported(source, "json", tmp_path).facts]
        assert splits == ["dev", "test", "test"]
        one = imported(source, "json", tmp_path, split="test")
        assert [fact.question for fact in one.facts] == ["q2", "q3"]
        assert one.report.read == 2

    def test_a_split_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no split 'train'; it has: dev, test"):
            imported(self.source(tmp_path, self.LAYOUT), "json", tmp_path, split="train")

    def test_data_is_no_name_of_a_split(self, tmp_path: Path) -> None:
        source = self.source(tmp_path, {"version": 1, "data": self.LAYOUT["test"]})
        assert [fact.split for fact in imported(source, "json", tmp_path).facts] == [None, None]


def test_a_folder_of_parquet_files(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "more").mkdir(parents=True)
    for number, file in enumerate(["a.parquet", "more/b.parquet"]):
        rows = [{"question": f"q{number}", "answer": "a"}, {"question": "x"}]
        pq.write_table(pa.Table.from_pylist(rows), folder / file)
    done = imported(folder, "parquet", tmp_path)
    assert [fact.question for fact in done.facts] == ["q0", "q1"]
    places = [(Path(row["file"]).name, row["line"]) for row in done.rejected]
    assert places == [("a.parquet", 2), ("b.parquet", 2)]


PIECES = st.sampled_from(
    [b"question", b"answer", b'{"question": "q", "answer": ', b'["a", "b"]', b'"a"}', b"\n", b",",
     b"\t", b'"', b"[", b"]", b"}", b"null", b"text", b"\xef\xbb\xbf", b"\xff", b"\\ud800", b"\0",
     b"PAR1", b"\r", b"1e999", b": "]
)  # fmt: skip
CELLS = st.sampled_from(["a", '"', '""', ",", "\n", "\r\n", "b c", '"d', 'e"', ",\n"])


@settings(max_examples=400, deadline=None)
@given(
    text=st.lists(CELLS, max_size=40).map("".join), width=st.integers(1, 3), most=st.integers(1, 4)
)
def test_every_line_of_a_table_is_in_a_row_or_broken_by_itself(
    text: str, width: int, most: int
) -> None:
    lines = text.encode().splitlines(keepends=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lorepack.facts.tables.ROW_LINES", most)
        found = list(rows_of_cells(iter(list(enumerate(lines, 2))), ",", width))
    numbers = [number for number, _ in found]
    assert numbers == sorted(set(numbers))
    assert blank(lines[: numbers[0] - 2] if numbers else lines)
    for (number, cells), end in zip(found, [*numbers, len(lines) + 2][1:], strict=True):
        mine = lines[number - 2 : end - 2]
        if isinstance(cells, RowError):
            assert blank(mine[1:])
            assert isinstance(cells, BrokenLineError)
            assert cells.text == mine[0]
        else:
            assert [row for row in parsed(mine) if row] == [cells]


def parsed(lines: list[bytes]) -> list[list[str]]:
    return list(csv.reader([line.decode() for line in lines], strict=True))


def blank(lines: list[bytes]) -> bool:
    return not any(parsed([line]) != [[]] for line in lines)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
NAMES = st.sampled_from(["question", "answer", "aliases", "paraphrases", "popularity", "id", "x"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@pytest.mark.parametrize("fmt", ["jsonl", "csv", "parquet", "json"])
@settings(max_examples=25, deadline=None)
@given(content=st.lists(PIECES | st.binary(max_size=4), max_size=30).map(b"".join))
def test_any_bytes_are_facts_or_one_line(folder: Path, fmt: str, content: bytes) -> None:
    path = folder / f"fuzz.{fmt}"
    starts = {"csv": b"question,answer\n", "json": b"[", "parquet": b"PAR1"}
    for data in (content, starts.get(fmt, b"") + content):
        path.write_bytes(data)
        whole(path, fmt)


@pytest.mark.parametrize("fmt", ["jsonl", "json"])
@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.dictionaries(NAMES, VALUES), min_size=1, max_size=4))
def test_any_json_of_the_outline_is_counted_whole(
    folder: Path, fmt: str, rows: list[dict[str, Any]]
) -> None:
    text = json.dumps(rows) if fmt == "json" else "".join(json.dumps(row) + "\n" for row in rows)
    path = folder / f"outline.{fmt}"
    path.write_text(text, encoding="utf-8")
    whole(path, fmt)
    whole(path, fmt, columns={"question": "x", "answer": "aliases", "subject": "id"})


def whole(path: Path, fmt: str, **given: Any) -> None:
    """Each row becomes one fact or one reason; nothing but InputError is ever raised."""
    options, said = Options(**given), ""
    try:
        made = made_of(fmt, path, options)
        report = import_facts(path, path.with_suffix(".out.jsonl"), fmt=fmt, options=options)
    except InputError as error:
        said = str(error)
    if said:
        assert len(said.splitlines()) == 1
    else:
        assert all(len(items) == 1 for items in made)
        assert report.read == len(made) == report.facts + sum(report.rejected.values())
