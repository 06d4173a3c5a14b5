"""`lorepack facts import` and `facts make`: counts, files, and one line for what is wrong."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lorepack import llm
from lorepack.cli.main import cli
from lorepack.errors import InputError, LorepackError
from lorepack.facts import Fact, load
from lorepack.facts.importing import HOMES

from .published_files import DATA, needs_data, write_sample
from .test_streams import zstd


def _bzip(data: bytes) -> bytes:
    return bz2.compress(data, 1)  # in blocks of 100,000 bytes


PACKED = {".gz": gzip.compress, ".bz2": _bzip, ".xz": lzma.compress, ".zst": zstd}
KEYS = {"format", "read", "facts", "passages", "rejected", "counts", "seconds", "out",
        "passages_out", "rejected_out", "broken"}  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["facts", *map(str, arguments)])


def row(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return answer


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.jsonl"
    rows = [
        {"query": "q1", "gold": ["a", "b"], "who": "x"},
        {"query": "q2"},
        {"query": "q3", "gold": "c"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class TestImport:
    def test_columns_and_counts(self, source: Path, tmp_path: Path) -> None:
        out = tmp_path / "out" / "facts.jsonl"
        result = run("import", source, "--as", "jsonl", "--question", "query", "--column",
                     "answer=gold", "--column", "subject=who", "--out", out, "--json")  # fmt: skip
        told = row(result)
        assert told.keys() == KEYS
        assert (told["read"], told["facts"], told["passages"]) == (3, 2, 0)
        assert told["rejected"] == {"no_answer": 1}
        assert load(out) == [Fact("q1", "a", aliases=("b",), subject="x"), Fact("q3", "c")]
        aside = json.loads((tmp_path / "out/rejected.jsonl").read_text())
        assert (aside["file"], aside["line"], aside["reason"]) == (str(source), 2, "no_answer")

    def test_the_table_names_every_reason(self, source: Path, tmp_path: Path) -> None:
        out, aside = tmp_path / "o.csv", tmp_path / "aside.jsonl"
        result = run("import", source, "--as", "jsonl", "--question", "query", "--answer", "gold",
                     "--out", out, "--rejected", aside)  # fmt: skip
        assert result.exit_code == 0
        for word in ("3 rows as jsonl", "set aside: no_answer", "o.csv", "aside.jsonl"):
            assert word in result.stdout.replace("\n", " ")
        assert len(load(tmp_path / "o.csv")) == 2
        assert (tmp_path / "aside.jsonl").read_text().count("\n") == 1

    def test_a_limit(self, source: Path, tmp_path: Path) -> None:
        result = run("import", source, "--as", "jsonl", "--question", "query", "--answer", "gold",
                     "--limit", 1, "--out", tmp_path / "o.jsonl", "--json")  # fmt: skip
        assert (row(result)["read"], row(result)["facts"]) == (1, 1)

    @pytest.mark.parametrize(
        "names",
        [
            {"--rejected": "source.jsonl"},
            {"--rejected": "o.jsonl"},
            {"--out": "t.jsonl", "--templates": "t.jsonl"},
        ],
    )
    def test_no_file_is_needed_twice(
        self, source: Path, tmp_path: Path, names: dict[str, str]
    ) -> None:
        (tmp_path / "t.jsonl").write_text('{"relation": "boss", "wordings": ["Who leads {s}?"]}\n')
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        given = {"--out": "o.jsonl", **names}
        form = "triples" if "--templates" in names else "jsonl"
        words = [word for name, file in given.items() for word in (name, tmp_path / file)]
        result = run("import", form, source, *words)
        assert "needed twice" in str(result.exception)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_passages_apart_from_the_facts(self, tmp_path: Path) -> None:
        path, out = write_sample("squad", tmp_path), tmp_path / "o.jsonl"
        result = run("import", "squad", path, "--out", out, "--passages", out)
        assert "needed twice" in str(result.exception)

    def test_what_another_import_set_aside_stays(self, source: Path, tmp_path: Path) -> None:
        words = ("import", "jsonl", source, "--question", "query", "--answer", "gold", "--json")
        for out, aside in (("a", "rejected"), ("b", "b.rejected"), ("a", "rejected")):
            told = row(run(*words, "--out", tmp_path / f"{out}.jsonl"))
            assert told["rejected_out"] == str(tmp_path / f"{aside}.jsonl")
            assert json.loads(Path(told["rejected_out"]).read_text())["out"] == f"{out}.jsonl"

    def test_a_try_that_finds_nothing_replaces_nothing(self, source: Path, tmp_path: Path) -> None:
        words = ("import", "jsonl", source, "--out", tmp_path / "o.jsonl", "--question", "query")
        row(run(*words, "--answer", "gold", "--json"))
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        source.write_text('{"query": "q", "gold": [[]]}\n')
        result = run(*words, "--answer", "gold")
        failed = tmp_path / "o.failed.jsonl"
        assert f"set aside: {{'no_answer': 1}}; see {failed}" in str(result.exception)
        assert json.loads(failed.read_text())["reason"] == "no_answer"
        source.write_bytes(before[source])
        assert {p: p.read_bytes() for p in tmp_path.iterdir() if p != failed} == before
        row(run(*words, "--answer", "gold", "--json"))
        assert not failed.exists()

    @pytest.fixture
    def dump(self, tmp_path: Path) -> Path:
        """Facts enough, all of them about entities of one bucket, and a line that is broken."""
        path, resource = tmp_path / "dump.nt", "http://dbpedia.org/resource"
        born = "http://dbpedia.org/ontology/birthPlace"
        lines = [f"<{resource}/Ann_{n}> <{born}> <{resource}/Town_{n}> .\n" for n in range(9)]
        path.write_text("oops\n" + "".join(lines))
        return path

    def test_a_limit_of_a_dump_counts_what_was_chosen(self, dump: Path, tmp_path: Path) -> None:
        told = row(run("import", "dbpedia", dump, "--per-relation", 0, "--limit", 4, "--out",
                       tmp_path / "o.jsonl", "--json"))  # fmt: skip
        assert (told["read"], told["facts"]) == (10, 4)

    def test_a_dump_of_one_bucket_says_why_nothing_is_kept(
        self, dump: Path, tmp_path: Path
    ) -> None:
        dump.write_text("".join(dump.read_text().splitlines(keepends=True)[1:2]))
        result = run("import", "dbpedia", dump, "--out", tmp_path / "o.jsonl")
        assert "'balanced_out': 1" in str(result.exception)
        assert "--per-relation 0 takes all facts" in str(result.exception)

    @needs_data
    def test_a_real_file_is_told_without_help(self, tmp_path: Path) -> None:
        out = tmp_path / "o.parquet"
        told = row(run("import", DATA / "edits/counterfact.json", "--split", "edit", "--out", out,
                       "--json"))  # fmt: skip
        assert (told["format"], told["read"], told["facts"]) == ("counterfact", 1_919, 1_919)
        assert len(load(out)) == 1_919

    @needs_data
    def test_passages_beside_the_facts(self, tmp_path: Path) -> None:
        told = row(run("import", DATA / "open-qa/xquad_en.json", "--out", tmp_path / "o.jsonl",
                       "--passages", tmp_path / "p.jsonl", "--json"))  # fmt: skip
        assert told["format"] == "squad"
        assert (tmp_path / "p.jsonl").read_text().count("\n") == told["passages"] > 0

    def test_templates(self, tmp_path: Path) -> None:
        (tmp_path / "a.tsv").write_text("Ann\tboss\tBob\nAnn\tcat\tTom\n")
        (tmp_path / "t.jsonl").write_text('{"relation": "boss", "wordings": ["Who leads {s}?"]}\n')
        told = row(run("import", tmp_path / "a.tsv", "--as", "triples", "--templates",
                       tmp_path / "t.jsonl", "--out", tmp_path / "o.jsonl", "--json"))  # fmt: skip
        assert told["rejected"] == {"no_template": 1}
        assert load(tmp_path / "o.jsonl")[0].question == "Who leads Ann?"

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (["--column", "answer"], "expected FIELD=COLUMN"),
            (["--column", "=gold"], "expected FIELD=COLUMN"),
            (["--answer", "gold", "--column", "answer=query"], "answer is said to be in"),
            (["--limit", "0"], "--limit"),
        ],
    )
    def test_wrong_use(self, source: Path, tmp_path: Path, arguments: list[str], why: str) -> None:
        result = run("import", source, "--as", "jsonl", "--out", tmp_path / "o.jsonl", *arguments)
        assert result.exit_code == 2
        assert why in result.output
        assert not (tmp_path / "o.jsonl").exists()

    def test_an_option_that_the_format_does_not_take(self, source: Path, tmp_path: Path) -> None:
        result = run(
            "import", source, "--as", "jsonl", "--out", tmp_path / "o.jsonl", "--split", "x"
        )
        assert isinstance(result.exception, InputError)
        assert "format jsonl takes no --split" in str(result.exception)

    @pytest.mark.parametrize(
        "option", ["--ontology", "--aliases", "--articles", "--seed", "--since"]
    )
    def test_every_option_reaches_the_format(
        self, source: Path, tmp_path: Path, option: str
    ) -> None:
        result = run("import", source, "--as", "jsonl", "--out", tmp_path / "o.jsonl", option, "1")
        assert f"takes no {option}" in str(result.exception)

    def test_help_lists_the_formats(self) -> None:
        listed = {
            line.split()[0] for line in run("import", "--help").output.splitlines() if line.strip()
        }
        assert set(HOMES) <= listed


@pytest.mark.parametrize("suffix", PACKED)
@pytest.mark.parametrize(
    ("name", "form", "text"),
    [
        ("cut.jsonl", "jsonl", lambda n: json.dumps({"question": f"q{n}", "answer": f"{n * n}"})),
        ("cut.csv", "csv", lambda n: f"q{n},{n * n}" if n else "question,answer"),
        ("cut.nt", "ntriples", lambda n: f"<http://x/s{n}> <http://x/author> <http://x/{n * n}> ."),
    ],
)
def test_a_source_that_breaks_off_keeps_what_came_before(
    tmp_path: Path, name: str, form: str, text: Callable[[int], str], suffix: str
) -> None:
    whole = PACKED[suffix]("".join(f"{text(n)}\n" for n in range(12_000)).encode())
    source = tmp_path / f"{name}{suffix}"
    source.write_bytes(whole[: len(whole) * 4 // 5])
    result = run("import", form, source, "--out", tmp_path / "o.jsonl", "--json")
    told = json.loads(result.stdout.splitlines()[-1])
    assert 3_000 < told["facts"] == len(load(tmp_path / "o.jsonl"))
    assert "compressed data is broken" in told["broken"]
    assert isinstance(result.exception, InputError)
    assert str(result.exception).startswith("the source breaks off, what came before is written")


def test_a_source_that_breaks_off_ends_with_2(tmp_path: Path) -> None:
    text = "".join(f'{{"question": "q{n}", "answer": "a{n}"}}\n' for n in range(3_000))
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(text.encode())[:-2_000])
    verb = "lorepack facts import cut.jsonl.gz --as jsonl --out o.jsonl --json"
    command = [sys.executable, "-m", *verb.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert json.loads(done.stdout.splitlines()[-1])["facts"] == len(load(tmp_path / "o.jsonl")) > 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert lines[0].startswith("lorepack: error: the source breaks off")


class TestSources:
    @pytest.fixture
    def notes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        for folder, word in (("old", "bridge"), ("new", "mill")):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "a.txt").write_text(f"This text tells of a {word} in the north.")
        (tmp_path / "single.md").write_text("The last text tells of a river.")
        return tmp_path

    def test_many_documents_at_once_keep_their_places(self, notes: Path) -> None:
        told = row(run("import", "docs", "old", "new/a.txt", "single.md", "--out", "o.jsonl",
                       "--json"))  # fmt: skip
        assert (told["format"], told["passages"], told["counts"]) == ("docs", 3, {"documents": 3})
        rows = [json.loads(line) for line in (notes / "o.jsonl").read_text().splitlines()]
        assert [one["document"] for one in rows] == ["old/a.txt", "new/a.txt", "single.md"]

    def test_a_repeat_in_another_source_is_set_aside(self, notes: Path) -> None:
        (notes / "new" / "b.txt").write_text((notes / "old" / "a.txt").read_text())
        told = row(run("import", "old", "new", "--as", "docs", "--out", "o.jsonl", "--json"))
        assert told["rejected"] == {"near_duplicate": 1}

    def test_sources_of_one_format_need_no_name(self, notes: Path) -> None:
        assert row(run("import", "old", "single.md", "--out", "o.jsonl", "--json"))["read"] == 2

    def test_a_folder_called_as_a_format_is_a_source_by_itself(self, notes: Path) -> None:
        (notes / "old").rename(notes / "docs")
        told = row(run("import", "docs", "--out", "o.jsonl", "--json"))
        assert (told["format"], told["passages"]) == ("docs", 1)

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            (["docs", "old", "old"], "old is given twice"),
            (["docs", "old", "gone"], "no such file: gone"),
            (["docs"], "no such file: docs; the format docs needs a source"),
            (["popqa", "old", "new"], "format popqa takes one source, got 2"),
            (["old", "f.jsonl"], "several formats (old: docs, f.jsonl: jsonl)"),
        ],
    )
    def test_what_cannot_be_is_said_and_nothing_written(
        self, notes: Path, words: list[str], why: str
    ) -> None:
        (notes / "f.jsonl").write_text('{"question": "q", "answer": "a"}\n')
        result = run("import", *words, "--out", "o.jsonl")
        assert isinstance(result.exception, LorepackError)
        assert why in str(result.exception)
        assert not (notes / "o.jsonl").exists()

    def test_a_format_that_is_a_folder_too_is_in_doubt(self, notes: Path) -> None:
        (notes / "docs").mkdir()
        result = run("import", "docs", "old", "--out", "o.jsonl")
        assert "docs is a format, and a file or folder here" in str(result.exception)
        assert row(run("import", "old", "--as", "docs", "--out", "o.jsonl", "--json"))["read"] == 1


class TestMake:
    def test_a_phone_book(self, tmp_path: Path) -> None:
        out = tmp_path / "o.jsonl"
        told = row(run("make", "phonebook", "--size", 20, "--seed", 5, "--out", out, "--json"))
        assert told.keys() == {"facts", "out", "bits_per_value", "bits"}
        assert told["facts"] == 20 == len(load(out))
        assert told["bits_per_value"] == pytest.approx(32.42, abs=0.005)
        assert "32.42 bits a value" in run("make", "phonebook", "--size", 2, "--out", out).output

    def test_a_random_map(self, tmp_path: Path) -> None:
        out = tmp_path / "o.jsonl"
        told = row(run("make", "random-map", "--size", 9, "--alphabet", "abcd", "--length", 5,
                       "--out", out, "--json"))  # fmt: skip
        assert told["bits_per_value"] == 10.0
        assert all(set(fact.answer) <= set("abcd") and len(fact.answer) == 5 for fact in load(out))

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (["phonebook"], "phonebook needs --size N"),
            (["random-map"], "random-map needs --size N"),
            (["phonebook", "--size", 3, "--length", 3], "belong to random-map"),
            (["world-new", "--size", 3, "--alphabet", "ab"], "belong to random-map"),
        ],
    )
    def test_wrong_use(self, tmp_path: Path, arguments: list[Any], why: str) -> None:
        result = run("make", *arguments, "--out", tmp_path / "o.jsonl")
        assert result.exit_code == 2
        assert why in result.output

    def test_a_size_beyond_names(self, tmp_path: Path) -> None:
        result = run("make", "phonebook", "--size", 2_000_000, "--out", tmp_path / "o.jsonl")
        assert isinstance(result.exception, InputError)


def test_passages_are_cut_by_the_tokens_of_a_model(tmp_path):
    text = " ".join(f"Number {i} stands in the {i * 37}th row." for i in range(40))
    (tmp_path / "rows.txt").write_text(text)
    command = ["facts", "import", str(tmp_path / "rows.txt"), "--as", "docs", "--size", "64"]
    out = tmp_path / "passages.jsonl"
    done = CliRunner().invoke(cli, [*command, "--tokenizer", "world", "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    tokenizer = llm.load_tokenizer("world")
    passages = [json.loads(line)["text"] for line in out.read_text().splitlines()]
    sizes = [len(tokenizer(p, add_special_tokens=False).input_ids) for p in passages]
    assert len(sizes) > 3
    assert max(sizes) <= 64
    assert json.loads(done.output.splitlines()[-1])["passages"] == len(passages)
