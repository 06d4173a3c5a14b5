"""The command line keeps its promises on how it starts and how it ends."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from lorepack.cli.main import VERBS, cli, main


def lorepack(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lorepack", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@contextmanager
def writing_end(pipe: Path, reader: subprocess.Popen[str]) -> Iterator[None]:
    """Hold the writing end of a named pipe, as soon as there is somebody who reads."""
    while True:
        assert reader.poll() is None, "it ended without reading"
        try:
            end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError as error:
            if error.errno != errno.ENXIO:  # which says that nobody reads yet
                raise
            time.sleep(0.01)
    try:
        yield
    finally:
        os.close(end)


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


@pytest.mark.parametrize("typed", [["--size", "10"], ["--seed", "3"], ["--seed", "0"]])
def test_the_worlds_own_facts_take_neither_size_nor_seed(tmp_path, typed):
    out = tmp_path / "world.jsonl"
    done = CliRunner().invoke(cli, ["facts", "make", "world", *typed, "--out", str(out)])
    assert done.exit_code == 2
    assert "the world's own facts are fixed" in done.output
    assert not out.exists()


def test_new_facts_come_from_seed_0_unless_one_is_given(tmp_path):
    texts = {}
    for seed in ([], ["--seed", "0"], ["--seed", "1"]):
        out = tmp_path / f"new{len(texts)}.jsonl"
        made = CliRunner().invoke(
            cli, ["facts", "make", "world-new", "--size", "5", *seed, "--out", str(out)]
        )
        assert made.exit_code == 0, made.output
        texts[tuple(seed)] = out.read_text(encoding="utf-8")
    assert texts[()] == texts["--seed", "0"] != texts["--seed", "1"]


def test_ctrl_c_ends_with_130_and_one_line(tmp_path):
    pipe = tmp_path / "facts.jsonl"
    os.mkfifo(pipe)
    child = subprocess.Popen(
        [sys.executable, "-m", "lorepack", "facts", "check", str(pipe)],
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts the tests in the background lets its children ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    with writing_end(pipe, child):  # the command waits for a first line
        child.send_signal(signal.SIGINT)
        _, stderr = child.communicate()
    assert child.returncode == 130
    assert stderr.strip() == "lorepack: stopped"


@pytest.mark.parametrize("verb", VERBS)
def test_only_verbs_that_go_on_promise_it(verb, monkeypatch, capsys):
    def stopped(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys, "argv", ["lorepack", "--debug", verb, "pack"])
    monkeypatch.setattr(cli, "main", stopped)
    with pytest.raises(SystemExit) as ending:
        main()
    goes_on = verb in {
        "demo", "synthesize", "paraphrase", "probe", "pack", "train", "tune", "audit", "harm",
        "capacity",
    }  # fmt: skip
    assert ending.value.code == 130
    assert ("the same command goes on" in capsys.readouterr().err) == goes_on


def test_auditing_a_run_takes_no_settings_since_the_run_has_its_own(tmp_path):
    done = lorepack("audit", "--run", str(tmp_path), "--seed", "3")
    assert done.returncode == 2
    assert "--run stands alone" in done.stderr


def test_auditing_a_folder_that_is_no_run_says_so(tmp_path):
    done = lorepack("audit", "--run", str(tmp_path))
    assert done.returncode == 2
    assert "is not a run" in done.stderr
