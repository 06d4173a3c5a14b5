"""The verbs on the command line: tables, one JSON object, errors with their place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.facts.looking import made

from lorepack.cli.main import cli
from lorepack.errors import LorepackError
from lorepack.facts import Fact, read

FACTS = [
    Fact("Who runs [bold]it[/bold]?", "Ann \x1b[31m", relation="head", popularity=9.0),
    Fact("Where is it?", "Rome", aliases=("Roma",), relation="place", popularity=1.0),
    Fact("Where does the whole of the very long question end that nobody reads?", "漢字 " * 30,
         relation="place", popularity=1.0),
]  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made.written(tmp_path / "facts.jsonl", FACTS)


def run(*arguments: object, columns: int = 80) -> Result:
    return CliRunner(env={"COLUMNS": str(columns)}).invoke(
        cli, ["facts", *map(str, arguments)], catch_exceptions=True
    )


def last(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


class TestShow:
    @pytest.mark.parametrize("columns", [60, 80, 200])
    def test_a_fact_is_a_line_no_wider_than_the_terminal(self, path: Path, columns: int):
        from rich.cells import cell_len

        lines = run("show", path, columns=columns).stdout.splitlines()
        assert len(lines) == 1 + len(FACTS) + 1
        assert max(map(cell_len, lines)) <= max(columns, 66)
        assert "\x1b" not in "".join(lines)
        assert lines[1].startswith(FACTS[0].id)

    def test_fields_choose_and_json_holds_them_whole(self, path: Path):
        row = last(run("show", path, "--where", "relation=place", "--json"))
        assert row["shown"] == 2
        assert [fact["line"] for fact in row["facts"]] == [2, 3]
        assert row["facts"][0] == {"line": 2, **FACTS[1].to_json()}
        assert last(run("show", path, "--where", "aliases=Roma", "--json"))["shown"] == 1
        assert last(run("show", path, "--where", "popularity=9", "--json"))["shown"] == 1
        assert last(run("show", path, "--where", "aliases=", "--json"))["shown"] == 2
        assert last(run("show", path, "--where", "relation=x", "--json"))["facts"] == []

    def test_an_id_shows_all_of_a_fact(self, path: Path):
        told = run("show", path, FACTS[1].id).stdout
        assert "Roma" in told
        assert "popularity  1.0" in told
        assert [f["id"] for f in last(run("show", path, FACTS[2].id, FACTS[0].id, "--json"))[
            "facts"]] == [FACTS[2].id, FACTS[0].id]  # fmt: skip

    def test_what_is_not_there_is_said(self, path: Path):
        assert "no fact with id 'nobody'" in str(run("show", path, "nobody").exception)
        assert "did you mean relation" in str(run("show", path, "--where", "relatio=x").exception)


def test_stats_are_tables_and_a_page(path: Path, tmp_path: Path):
    told = run("stats", path, "--html", tmp_path / "page.html", columns=200)
    assert told.exit_code == 0, told.output
    assert "different answers" in told.stdout
    assert "Rome" in told.stdout
    assert "\x1b" not in told.stdout
    assert (tmp_path / "page.html").is_file()
    assert last(run("stats", path, "--json"))["popularity"]["facts"] == 3


def test_stats_count_the_tokens_of_a_model(path: Path):
    row = last(run("stats", path, "--tokenizer", "world", "--json"))
    assert row["tokens"] == "world"
    assert row["lengths"]["question"]["tokens"]["total"] > 20


def test_every_verb_ends_with_one_object(path: Path, tmp_path: Path):
    out = tmp_path / "out.csv"
    assert last(run("sample", path, "-n", 2, "--out", out, "--json"))["facts"] == 2
    assert len(list(read(out))) == 2
    row = last(run("split", path, "--out", tmp_path / "parts", "--by", "popularity", "--json",
                   "--part", "top=0.34", "--part", "rest=0.66", "--format", "csv"))  # fmt: skip
    assert {name: part["facts"] for name, part in row["parts"].items()} == {"top": 1, "rest": 2}
    assert (tmp_path / "parts" / "top.csv").is_file()
    row = last(run("merge", path, path, "--out", out, "--json"))
    assert (row["facts"], row["united"], row["read"][0]) == (3, 3, [str(path), 3])
    assert last(run("dedupe", path, "--out", out, "--near", "0.9", "--json"))["duplicates"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["stats"],
        ["sample", "-n", 1, "--out", "o.jsonl"],
        ["split", "--out", "parts"],
        ["merge", "--out", "o.jsonl"],
        ["dedupe", "--out", "o.jsonl"],
        ["show"],
    ],
)
def test_a_bad_row_is_an_error_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[object]
):
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("question,answer\nq,a\nr,\n")
    verb, *options = arguments
    result = run(verb, "bad.csv", *options)
    assert isinstance(result.exception, LorepackError)
    assert "bad.csv:3: no 'answer'" in str(result.exception)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.csv"]


def test_fields_that_are_lost_are_said(tmp_path: Path):
    path = tmp_path / "facts.jsonl"
    path.write_text('{"question": "q", "answer": "a", "extra": 1}\n')
    told = run("sample", path, "-n", 1, "--out", tmp_path / "o.jsonl").stderr
    assert "field 'extra' ignored in 1 rows" in told


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from lorepack.cli.facts import command; "
        "print([m for m in ('numpy', 'torch', 'jinja2', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
