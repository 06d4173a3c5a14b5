"""`lorepack synthesize` and `lorepack paraphrase`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lorepack import facts as room
from lorepack.cli.main import cli
from lorepack.facts.passages_file import read_passages
from lorepack.synthesis.forms import FORMS

TEXTS = (
    "The Harbour Museum stands in Rostock. Ida Voss has run it since 1998. It shows 40 ships.",
    "The Mill Bridge was built in 1871. It crosses the Warnow near Rostock. Max Brandt built it.",
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)])


def row(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return answer


@pytest.fixture
def passages(tmp_path: Path) -> Path:
    path = tmp_path / "passages.jsonl"
    lines = [{"text": text, "document": f"d{n}"} for n, text in enumerate(TEXTS)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


class TestSynthesize:
    def test_with_nothing_but_a_file_the_rules_write(self, passages: Path, tmp_path: Path) -> None:
        told = row(run("synthesize", passages, "--out", tmp_path / "o", "--json"))
        assert told["passages"] == 2
        assert set(told["forms"]) == {"original", "qa", "summary"}
        assert told["facts"] == len(room.load(tmp_path / "o" / "facts.jsonl")) > 0
        texts = [p.text for p in read_passages(tmp_path / "o" / "texts.jsonl")]
        assert set(TEXTS) <= set(texts)

    def test_the_world_brings_facts_of_its_own(self, tmp_path: Path) -> None:
        told = row(run("synthesize", "world", "--limit", 5, "--out", tmp_path / "o", "--json"))
        assert told["passages"] == 5
        assert told["facts"] >= 10

    def test_the_table_says_what_was_kept_and_where(self, passages: Path, tmp_path: Path) -> None:
        done = run("synthesize", passages, "--out", tmp_path / "o", "--form", "qa:2")
        assert done.exit_code == 0, done.output
        for word in ("2 passages", "facts", "coverage:", "requests", "written:"):
            assert word in done.stdout
        again = run("synthesize", passages, "--out", tmp_path / "o", "--form", "qa:2")
        assert "all was done before" in again.stdout

    def test_every_option_reaches_the_settings(self, passages: Path, tmp_path: Path) -> None:
        evaluation = tmp_path / "e.jsonl"
        room.write(evaluation, [room.Fact("Which town has the museum of the harbour?", "Rostock")])
        row(run("synthesize", passages, "--out", tmp_path / "o", "--form", "qa:3", "--form",
                "summary:2", "--tag", "[{document}] ", "--answer-tag", "<{document}> ",
                "--limit", 1, "--seed", 7, "--set", "rounds=0", "--set", "gates.leak=0.9",
                "--evaluation", evaluation, "--cache", tmp_path / "c.sqlite",
                "--json"))  # fmt: skip
        described = json.loads((tmp_path / "o" / "synthesis.json").read_text())
        settings = described["inputs"]["settings"]
        assert settings["forms"] == [["qa", 3], ["summary", 2]]
        assert (settings["tag"], settings["answer_tag"]) == ("[{document}] ", "<{document}> ")
        assert (settings["limit"], settings["seed"], settings["rounds"]) == (1, 7, 0)
        assert settings["gates"]["leak"] == 0.9
        assert described["leaks"]["per_evaluation_question"]["questions"] == 1
        assert (tmp_path / "c.sqlite").is_file()
        assert not (tmp_path / "o" / "replies.sqlite").exists()
        assert room.load(tmp_path / "o" / "facts.jsonl")[0].question.startswith("[d0] ")

    def test_items_of_others_are_judged(self, passages: Path, tmp_path: Path) -> None:
        given = tmp_path / "g.jsonl"
        items = [
            {"question": "Who has run the Harbour Museum since 1998?", "answer": "Ida Voss"},
            {"question": "Who painted the Night Watch?", "answer": "Rembrandt", "document": "d0"},
        ]
        given.write_text("\n".join(map(json.dumps, items)))
        told = row(run("synthesize", passages, "--given", given, "--out", tmp_path / "o", "--json"))
        assert (told["facts"], told["requests"]) == (1, 0)
        assert told["rejected"] == {"ungrounded": 1}

    def test_help_lists_the_forms(self) -> None:
        words = {line.split()[0] for line in run("synthesize", "--help").output.splitlines() if (
            line.strip()
        )}  # fmt: skip
        assert {f"{form.name}:{form.default}" for form in FORMS.values()} <= words

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (["--form", "qq"], "no form 'qq'"),
            (["--form", "qa:x"], "expected a number"),
            (["--form", "qa:1", "--form", "qa:2"], "given twice"),
            (["--set", "sed=3"], "did you mean seed?"),
            (["--price", "3"], "expected two numbers"),
            (["--price", "1,2"], "give an endpoint"),
            (["--endpoint", "ftp://x"], "http"),
            (["--prompts", "nowhere"], "no such folder"),
            (["--evaluation", "nowhere.jsonl"], "no such file"),
            (["--given", "g.jsonl", "--form", "qa"], "leave --form out"),
            (["--tag", "{dokument}"], "did you mean document?"),
        ],
    )
    def test_wrong_use(
        self, passages: Path, tmp_path: Path, arguments: list[str], why: str
    ) -> None:
        done = run("synthesize", passages, "--out", tmp_path / "o", *arguments)
        assert done.exit_code != 0
        assert why in done.output + str(done.exception)
        assert not (tmp_path / "o" / "items.jsonl").exists()

    def test_requests_without_a_reply_end_with_2_after_writing(
        self, passages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from lorepack.synthesis.writers import rules
        from lorepack.synthesis.writers.writer import Reply

        def busy(self: object, requests: list[object], keep: Any) -> None:
            for index in range(len(requests)):
                keep(index, Reply(failed="busy"))

        monkeypatch.setattr(rules.RuleWriter, "write", busy)
        done = run("synthesize", passages, "--out", tmp_path / "o", "--form", "qa", "--json")
        assert done.exit_code != 0
        assert "2 requests had no reply" in str(done.exception)
        assert json.loads(done.stdout.splitlines()[-1])["failed"] == 2
        monkeypatch.undo()
        again = run("synthesize", passages, "--out", tmp_path / "o", "--form", "qa", "--json")
        assert row(again)["facts"] > 0


class TestParaphrase:
    def test_the_rules_word_questions(self, tmp_path: Path) -> None:
        room.write(tmp_path / "f.jsonl", [room.Fact("Who runs the Harbour Museum?", "Ida Voss")])
        verb = ("paraphrase", tmp_path / "f.jsonl", "-n", 4, "--out", tmp_path / "o.jsonl")
        told = row(run(*verb, "--json"))
        assert (told["facts"], told["wordings"]) == (1, 4)
        assert len(room.load(tmp_path / "o.jsonl")[0].paraphrases) == 4
        assert "1 facts" in run(*verb).output

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (["-n", "0"], "0 is not in the range"),
            (["--set", "form=3"], "'form' is not known"),
            (["--out", "o.txt"], "no known format"),
        ],
    )
    def test_wrong_use(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], why: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        room.write("f.jsonl", [room.Fact("Who?", "Ida")])
        done = run("paraphrase", "f.jsonl", "--out", "o.jsonl", *arguments)
        assert done.exit_code != 0
        assert why in done.output + str(done.exception)
        assert [path.name for path in tmp_path.iterdir()] == ["f.jsonl"], "nothing was begun"
