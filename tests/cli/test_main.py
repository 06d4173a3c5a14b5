"""The command line keeps its promises on how it starts and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lorepack.cli.main import VERBS, cli


def lorepack(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lorepack", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def imported_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {"torch", "transformers", "numpy", "pyarrow", "plotly", "pydantic", "rich"}


def test_importing_lorepack_loads_nothing_heavy():
    assert not imported_by("import lorepack") & HEAVY


def test_help_loads_nothing_heavy():
    call = "from lorepack.cli.main import cli\ncli.main(['--help'], standalone_mode=False)"
    assert not imported_by(call) & HEAVY


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_of_its_own(verb):
    done = CliRunner().invoke(cli, [verb, "--help"])
    assert done.exit_code == 0, done.output
    assert "Usage:" in done.output


@pytest.mark.parametrize("verb", [v for v in VERBS if v not in ("facts", "completion")])
def test_every_verb_takes_json(verb):
    assert "--json" in CliRunner().invoke(cli, [verb, "--help"]).output


def test_a_mistyped_verb_is_answered_with_the_one_that_was_meant():
    done = lorepack("prob")
    assert done.returncode == 2
    assert "did you mean probe?" in done.stderr


def test_a_user_error_is_one_line_and_exit_code_2(tmp_path):
    done = lorepack("facts", "check", str(tmp_path / "none.jsonl"))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "none.jsonl" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(tmp_path):
    done = lorepack("facts", "check", str(tmp_path / "none.jsonl"), "--debug")
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(shell):
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert "_LOREPACK_COMPLETE" in done.output


def test_check_prints_one_json_object_last_and_exits_2_on_a_broken_row(tmp_path):
    rows = ['{"question": "Who?", "answer": "Ada"}'] * 1 + ["{broken"]
    (tmp_path / "facts.jsonl").write_text("\n".join(rows) + "\n")
    done = lorepack("facts", "check", "facts.jsonl", "--json", cwd=tmp_path)
    assert done.returncode == 2
    last = json.loads(done.stdout.strip().splitlines()[-1])
    assert last["facts"] == 1
    assert sum(last["problems"].values()) >= 1


def test_made_facts_pass_their_own_check(tmp_path):
    out = tmp_path / "new.jsonl"
    made = lorepack("facts", "make", "world-new", "--size", "50", "--out", str(out), "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout.splitlines()[-1])["facts"] == 50
    done = lorepack("facts", "check", str(out), "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["facts"] == 50
