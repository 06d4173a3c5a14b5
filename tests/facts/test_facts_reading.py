"""Facts are read from every format alike, and the first bad row says where and why."""

from __future__ import annotations

import csv
import gzip
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.errors import InputError, NotFoundError
from lorepack.facts import CheckReport, Fact, FactsWarning, check, derive_id, load, read

SHARED = Path(__file__).parents[3] / "shared" / "data"
ROW = {"question": "Who wrote it?", "answer": "Ann"}
FULL = {
    **ROW,
    "aliases": ["A. Nile", "Ann | Nile"],
    "paraphrases": ["By whom is it?"],
    "subject": "it",
    "relation": "author",
    "object": "Ann",
    "domain": "Work",
    "popularity": 3.5,
    "source": "made",
    "split": "train",
    "id": "f-1",
}


def jsonl(folder: Path, *rows: object, name: str = "facts.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def table(folder: Path, text: str | bytes, name: str = "facts.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


class TestFact:
    def test_the_id_is_pinned_for_ever(self) -> None:
        assert Fact("Who wrote it?", "Ann").id == derive_id("Who wrote it?", "Ann")
        assert derive_id("Who wrote it?", "Ann") == "b86e9d81f2021f81"

    def test_the_id_ignores_white_space_but_not_the_border_between_the_two(self) -> None:
        assert derive_id(" Who  wrote\tit?\n", "Ann ") == derive_id("Who wrote it?", "Ann")
        assert derive_id("Who wrote it? Ann", "") != derive_id("Who wrote it?", "Ann")
        assert derive_id("who wrote it?", "Ann") != derive_id("Who wrote it?", "Ann")

    def test_what_is_accepted(self) -> None:
        assert Fact("q", "a", aliases=("b", "c")).accepted == ("a", "b", "c")

    def test_as_json_the_id_comes_first_and_empty_fields_are_left_out(self) -> None:
        row = Fact("q", "a", aliases=("b",), popularity=0.0, id="x").to_json()
        assert list(row.items()) == [
            ("id", "x"),
            ("question", "q"),
            ("answer", "a"),
            ("aliases", ["b"]),
            ("popularity", 0.0),
        ]


class TestJsonLines:
    def test_all_fields(self, tmp_path: Path) -> None:
        (fact,) = read(jsonl(tmp_path, FULL))
        assert fact == Fact(**{k: tuple(v) if isinstance(v, list) else v for k, v in FULL.items()})

    def test_the_smallest_row(self, tmp_path: Path) -> None:
        assert load(jsonl(tmp_path, ROW)) == [Fact("Who wrote it?", "Ann")]

    def test_it_streams(self, tmp_path: Path) -> None:
        rows = read(jsonl(tmp_path, ROW, {"question": 1}))
        assert next(rows).answer == "Ann"
        with pytest.raises(InputError, match=r":2: 'question' is a number"):
            next(rows)

    def test_empty_means_not_given_and_borders_are_trimmed(self, tmp_path: Path) -> None:
        row = {"question": " q ", "answer": "a\n", "aliases": None, "relation": "", "id": ""}
        assert load(jsonl(tmp_path, row)) == [Fact("q", "a")]

    def test_whole_numbers_as_ids(self, tmp_path: Path) -> None:
        assert load(jsonl(tmp_path, {**ROW, "id": 17}))[0].id == "17"

    def test_byte_order_mark_blank_lines_and_windows_line_ends(self, tmp_path: Path) -> None:
        line = json.dumps(ROW).encode()
        path = table(
            tmp_path, b"\xef\xbb\xbf" + line + b"\r\n\r\n  \n" + b'{"question": 1}', "f.ndjson"
        )
        with pytest.raises(InputError, match=r"f\.ndjson:4: 'question' is a number"):
            load(path)
        assert next(read(path)) == Fact(**ROW)  # type: ignore[arg-type]

    def test_zipped(self, tmp_path: Path) -> None:
        path = tmp_path / "facts.JSONL.GZ"
        path.write_bytes(gzip.compress(json.dumps(FULL).encode()))
        assert load(path)[0].id == "f-1"

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            (b"{", "not JSON"),
            (b'["q", "a"]', "got a JSON list, expected an object"),
            (b'"q"', "got a JSON str"),
            (b"{}", "no 'question'; the row has: nothing"),
            (b'{"question": "q"}', "no 'answer'; the row has: question"),
            (b'{"qestion": "q", "answer": "a"}', "no 'question'; did you mean qestion"),
            (b'{"question": "q", "answer": ""}', "'answer' is empty"),
            (b'{"question": " ", "answer": "a"}', "'question' is empty"),
            (b'{"question": "q", "answer": 42}', r"'answer' is a number \(42\); expected text"),
            (b'{"question": "q", "answer": ["a", "b"]}', "put the others into 'aliases'"),
            (b'{"question": "q", "answer": true}', "'answer' is a truth value"),
            (b'{"question": {}, "answer": "a"}', "'question' is an object"),
            (
                b'{"question": "q", "answer": "a", "aliases": "b"}',
                "'aliases' is text .'b'.; .*list",
            ),
            (b'{"question": "q", "answer": "a", "aliases": ["b", 3]}', "'aliases' is a number"),
            (b'{"question": "q", "answer": "a", "relation": 3}', "'relation' is a number"),
            (b'{"question": "q", "answer": "a", "popularity": "3"}', "'popularity' is text"),
            (b'{"question": "q", "answer": "a", "popularity": NaN}', "expected a finite number"),
            (b'{"question": "q", "answer": "a", "popularity": true}', "'popularity' is a truth"),
            (b'{"question": "q", "answer": "a", "popularity": 1' + b"0" * 400 + b"}", "finite"),
            (b'{"question": "q", "answer": "a", "id": 1.5}', "'id' is a number"),
            (b'{"question": "q", "answer": "a\\u0000"}', "'answer' holds a NUL byte"),
            (b'{"question": "caf\xe9", "answer": "a"}', "'question' is not valid UTF-8"),
            (b'{"question": "\\ud800", "answer": "a"}', "'question' is not valid UTF-8"),
            (b"\x00\x00", "not JSON"),
            (b"[" * 100_000, "not JSON|cannot be read"),
            (b"1" * 5_000, "cannot be read"),
        ],
    )
    def test_a_broken_line_7_of_10(self, tmp_path: Path, line: bytes, said: str) -> None:
        good = [json.dumps({"question": f"q{i}", "answer": "a"}).encode() for i in range(9)]
        path = table(tmp_path, b"\n".join([*good[:6], line, *good[6:]]) + b"\n", "facts.jsonl")
        with pytest.raises(InputError, match=r"facts\.jsonl:7: .*" + f"(?:{said})") as caught:
            load(path)
        assert len(str(caught.value)) < 250 + len(str(path))
        assert len(str(caught.value).splitlines()) == 1


class TestFiles:
    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match=r"no such file: .*none\.jsonl"):
            read(tmp_path / "none.jsonl")  # at once, not at the first row

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="is a folder"):
            load(tmp_path)

    @pytest.mark.parametrize("name", ["facts.txt", "facts", "facts.parquet.gz", "facts.json"])
    def test_a_name_of_no_known_format(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(InputError, match=r"no known format; expected \.jsonl"):
            load(jsonl(tmp_path, ROW, name=name))

    @pytest.mark.parametrize(
        ("name", "content"),
        [("f.jsonl", b""), ("f.jsonl", b"\n \n"), ("f.csv", b""), ("f.csv", b"question,answer\n"),
         ("f.jsonl.gz", gzip.compress(b"", mtime=0))],
    )  # fmt: skip
    def test_no_facts(self, tmp_path: Path, name: str, content: bytes) -> None:
        with pytest.raises(InputError, match="no facts"):
            load(table(tmp_path, content, name))

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (gzip.compress(b"x", mtime=0), "gzip data; add .gz"),
            ("question".encode("utf-16"), "UTF-16"),
            (b"PK\x03\x04rest", "zip archive or a spreadsheet"),
            (b"PAR1rest", "Parquet; name it"),
        ],
    )
    @pytest.mark.parametrize("name", ["f.jsonl", "f.csv"])
    def test_another_format_than_the_name_says(
        self, tmp_path: Path, name: str, content: bytes, said: str
    ) -> None:
        with pytest.raises(InputError, match=said):
            load(table(tmp_path, content, name))

    def test_a_zipped_file_that_breaks_off(self, tmp_path: Path) -> None:
        lines = "".join(
            json.dumps({"question": f"{i}?", "answer": "a"}) + "\n" for i in range(9999)
        )
        path = table(tmp_path, gzip.compress(lines.encode())[:-5000], "f.jsonl.gz")
        with pytest.raises(InputError, match=r"f\.jsonl\.gz:\d+: the compressed data is broken"):
            load(path)

    def test_no_zip_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r":1: the compressed data is broken"):
            load(table(tmp_path, b'{"question": "q", "answer": "a"}', "f.jsonl.gz"))

    def test_a_line_without_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lorepack.facts.lines.LINE_LIMIT", 1 << 20)
        path = table(tmp_path, json.dumps(ROW).encode() + b"\n" + b"x" * (2 << 20), "f.jsonl")
        with pytest.raises(InputError, match=r":2: a line of more than 1 MiB"):
            load(path)


class TestIdentity:
    def test_one_id_for_two_facts(self, tmp_path: Path) -> None:
        path = jsonl(tmp_path, {**ROW, "id": "x"}, {"question": "q", "answer": "a", "id": "x"})
        with pytest.raises(InputError, match=r"facts\.jsonl:2: id 'x' also stands at line 1"):
            load(path)

    def test_a_repeated_fact_is_set_aside_and_said(self, tmp_path: Path) -> None:
        path = jsonl(tmp_path, ROW, {"question": "q", "answer": "a"}, ROW, ROW)
        notes: list[str] = []
        assert [fact.answer for fact in load(path, notes)] == ["Ann", "a"]
        assert notes == [f"{path}: 2 repeated facts set aside (the first: line 3 repeats line 1)"]
        with pytest.warns(FactsWarning, match="2 repeated facts set aside"):
            load(path)

    def test_fields_that_no_fact_has_are_said(self, tmp_path: Path) -> None:
        notes: list[str] = []
        path = jsonl(
            tmp_path, {**ROW, "alias": ["A"], "n": 1}, {"question": "q", "answer": "a", "n": 2}
        )
        assert len(load(path, notes)) == 2
        assert notes == [
            f"{path}: field 'alias' ignored in 1 rows; did you mean aliases?",
            f"{path}: field 'n' ignored in 2 rows",
        ]

    def test_a_clean_file_warns_of_nothing(self, tmp_path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            load(jsonl(tmp_path, FULL))


class TestCsv:
    def test_all_fields(self, tmp_path: Path) -> None:
        path = tmp_path / "facts.csv"
        with open(path, "w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(FULL)
            writer.writerow(json.dumps(v) if isinstance(v, list) else v for v in FULL.values())
        assert load(path) == load(jsonl(tmp_path, FULL))

    def test_lists_by_bars(self, tmp_path: Path) -> None:
        (fact,) = load(table(tmp_path, "question,answer,aliases\nq,a, b| c d ||e\n"))
        assert fact.aliases == ("b", "c d", "e")

    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_separators_and_untidy_headers(self, tmp_path: Path, separator: str) -> None:
        text = "\ufeff Question|Answer\nWho, then; or not?|Ann\n".replace("|", separator)
        text = text.replace("Who, then; or not?", '"Who, then; or not?"')
        assert load(table(tmp_path, text)) == [Fact("Who, then; or not?", "Ann")]

    def test_cells_of_several_lines_keep_the_numbers_right(self, tmp_path: Path) -> None:
        text = 'question,answer\r\n"Who\r\nis it?","A ""B"" C"\r\n\r\nq,a,b\r\n'
        path = table(tmp_path, text)
        rows = read(path)
        assert next(rows) == Fact("Who\r\nis it?", 'A "B" C')
        with pytest.raises(InputError, match=r"facts\.csv:5: 3 cells, the header has 2"):
            next(rows)

    @pytest.mark.parametrize(
        ("row", "said"),
        [
            ("q", "1 cells, the header has 3"),
            ("q,,", "no 'answer'"),
            ("q,a,\"['b']\"", "expected a JSON list"),
            ('q,a,"[3]"', "'aliases' is a number"),
            ('q,a,"b', "a quote opens a cell .*nothing closes it"),
            ('q,"a"b,', "broken quotes or cells"),
        ],
    )
    def test_a_broken_row(self, tmp_path: Path, row: str, said: str) -> None:
        path = table(tmp_path, f"question,answer,aliases\nq0,a0,\n{row}\n")
        with pytest.raises(InputError, match=rf"facts\.csv:3: .*{said}"):
            load(path)

    def test_latin_1(self, tmp_path: Path) -> None:
        path = table(tmp_path, "question,answer\nq,a\nWo ist Köln?,Rhein\n".encode("latin-1"))
        with pytest.raises(InputError, match=r":3: 'question' is not valid UTF-8"):
            load(path)

    def test_a_number_that_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r":2: 'popularity' is 'many'; expected a number"):
            load(table(tmp_path, "question,answer,popularity\nq,a,many\n"))

    @pytest.mark.parametrize(
        ("header", "said"),
        [
            ("prompt,target", "no columns 'question' and 'answer'; got prompt, target"),
            ("question,answer,answer", "column 'answer' twice"),
            ('question,"answer', "a header that cannot be read"),
        ],
    )
    def test_a_header_that_names_no_facts(self, tmp_path: Path, header: str, said: str) -> None:
        with pytest.raises(InputError, match=rf"facts\.csv:1: {said}"):
            load(table(tmp_path, f"{header}\nq,a\n"))

    def test_labelled_text(self, tmp_path: Path) -> None:
        text = 'text\n"Question: Is an Answer: text, here? Answer: Yes, sir"\nQuestion: q\n'
        rows = read(table(tmp_path, text))
        assert next(rows) == Fact("Is an Answer: text, here?", "Yes, sir")
        with pytest.raises(InputError, match=r":3: expected 'Question: \.\.\. Answer: \.\.\.'"):
            next(rows)


class TestParquet:
    def test_all_fields(self, tmp_path: Path) -> None:
        path = tmp_path / "facts.parquet"
        pq.write_table(pa.Table.from_pylist([FULL, ROW]), path)
        assert load(path) == load(jsonl(tmp_path, FULL, ROW))

    def test_row_groups_and_numbers_of_rows(self, tmp_path: Path) -> None:
        rows = [{"Question": f"q{i}", "answer": "a" if i != 7 else None} for i in range(10)]
        path = tmp_path / "facts.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=3)
        with pytest.raises(InputError, match=r"facts\.parquet:8: no 'answer'"):
            load(path)

    def test_labelled_text(self, tmp_path: Path) -> None:
        path = tmp_path / "facts.parquet"
        pq.write_table(pa.table({"text": ["Question: q Answer: a"]}), path)
        assert load(path) == [Fact("q", "a")]

    def test_a_truncated_file(self, tmp_path: Path) -> None:
        path = tmp_path / "facts.parquet"
        pq.write_table(pa.Table.from_pylist([ROW]), path)
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(InputError, match="not readable as Parquet"):
            load(path)


PIECES = st.sampled_from(
    [b" ", b"question", b"answer", b"aliases", b"text", b'{"question": "q", "answer": "a"}', b",",
     b";", b"Question: ", b" Answer:", b"[", b"]", b"{", b"}", b'"', b"|", b":", b"\n", b"\0",
     b"\\ud800", b"\xef\xbb\xbf", b"\xff", b"\xc3\xa9", b"\x1f\x8b", b"PAR1", b"null", b"1e999"]
)  # fmt: skip


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv", "parquet", "jsonl.gz", "csv.gz"])
@given(content=st.lists(PIECES | st.binary(max_size=4), max_size=30).map(b"".join))
def test_any_bytes_are_facts_or_one_clear_line(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzz.{suffix}"
    for data in (content, b"question,answer\n" + content, gzip.compress(content, mtime=0)):
        path.write_bytes(data)
        facts = outcome(lambda: load(path, []))
        report = outcome(lambda: check(path))
        for said in (facts, report):
            if isinstance(said, str):
                assert str(path) in said
                assert len(said.splitlines()) == 1
        if isinstance(facts, list):
            assert isinstance(report, CheckReport)
            assert (report.errors, report.facts) == (0, len(facts))
        elif isinstance(report, CheckReport):
            assert report.errors
            assert list(report.lines())


def outcome(job: Callable[[], object]) -> object:
    """What a job gives, or the words of its error."""
    try:
        return job()
    except InputError as error:
        return str(error)


@pytest.mark.skipif(not SHARED.is_dir(), reason="no real data: ../shared/data is not there")
class TestRealFiles:
    @pytest.mark.parametrize(("size", "rows"), [("1K", 48), ("2K", 97), ("4K", 193), ("8K", 387)])
    def test_phone_books(self, size: str, rows: int) -> None:
        folder = SHARED / "lora-as-knowledge-memory"
        facts = load(folder / f"phonebook_qa_{size}.csv")
        assert len(facts) == rows
        assert all(f.question.startswith("What is the phone number of ") for f in facts)
        assert {len(f.answer) for f in facts} == {12}
        assert facts[0] == Fact("What is the phone number of Jeffrey Buck?", "603-556-7631")

    def test_authors_who_do_not_exist(self) -> None:
        facts = load(SHARED / "fictional" / "tofu.jsonl")
        assert len(facts) == 817
        assert all(fact.split for fact in facts)

    def test_other_layouts_are_named_and_not_misread(self) -> None:
        with pytest.raises(InputError, match=r"nq_open_dev\.jsonl:1: 'answer' is a list"):
            load(SHARED / "open-qa" / "nq_open_dev.jsonl")
        with pytest.raises(InputError, match=r"truthfulqa\.csv:1: no columns 'question' and"):
            load(SHARED / "harm" / "truthfulqa.csv")
