"""`lorepack train` and `pack --grid` on the command line: how they end, and what they tell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lorepack import facts as room
from lorepack import world
from lorepack.cli.main import cli


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with four facts in it."""
    monkeypatch.chdir(tmp_path)
    room.write("facts.jsonl", world.new_facts(4, seed=2))
    return tmp_path


def lorepack(*words: str) -> subprocess.CompletedProcess[str]:
    """The command as a user starts it."""
    return subprocess.run(
        [sys.executable, "-m", "lorepack", *words], capture_output=True, text=True, check=False
    )


def test_a_failed_job_ends_the_command_with_2_after_the_rest(folder):
    Path("jobs.yaml").write_text(
        "model: world\nout: out\ndefaults: {data: facts.jsonl, epochs: 2, min_steps: 0}\n"
        "jobs: [{name: burst, lr: 1e30, clip: none, epochs: 5}, {name: good}]\n"
    )
    done = lorepack("train", "jobs.yaml", "--json")
    assert done.returncode == 2, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert list(told["failed"]) == ["burst"]
    last = done.stderr.splitlines()[-1]
    assert last.startswith("lorepack: error: job burst failed: ")
    assert "step" in last
    assert (folder / "out/good/adapter/adapter_model.safetensors").is_file()
    assert not (folder / "out/burst/adapter").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("jobs: [{name: a, data: facts.jsonl}]", "give --model M, or 'model:' in jobs.yaml"),
        ("model: world\njobs: [{data: facts.jsonl}]", "give --out DIR, or 'out:' in jobs.yaml"),
    ],
)
def test_model_and_folder_must_be_named_somewhere(folder, text, told):
    Path("jobs.yaml").write_text(text)
    done = CliRunner().invoke(cli, ["train", "jobs.yaml"])
    assert done.exit_code == 2
    assert told in done.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--grid rank=1,2 --rank 4", "rank is given twice: as an option and in --grid"),
        ("--slots 4", "--slots, --tokens, --workers and --max-jobs belong to --grid"),
        ("--workers 2", "--slots, --tokens, --workers and --max-jobs belong to --grid"),
    ],
)
def test_options_that_contradict_a_grid_are_refused(folder, words, told):
    given = "pack --model world --facts facts.jsonl --out run"
    done = CliRunner().invoke(cli, [*given.split(), *words.split()])
    assert done.exit_code == 2
    assert told in done.output


def test_the_choice_of_the_scheduler_is_told_at_once_and_in_the_result(folder):
    """With two processes, each of which chooses for its own jobs."""
    Path("jobs.yaml").write_text(
        "model: world\nout: out\ndefaults: {data: facts.jsonl, epochs: 1, min_steps: 0}\n"
        "jobs: [{name: a}, {name: b}, {name: c}, {name: d}]\n"
    )
    done = lorepack("train", "jobs.yaml", "--json", "--no-recall", "--workers", "2")
    assert done.returncode == 0, done.stderr
    notes = json.loads(done.stdout.splitlines()[-1])["notes"]
    chosen = [note for note in notes if "adapters at once" in note]
    assert sorted(note[:18] for note in chosen) == ["process 1 of 2: 2 ", "process 2 of 2: 2 "]
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["note"] for line in lines if "note" in line] == chosen
    trained = [line.get("stage") == "train" and line["done"] == line["total"] for line in lines]
    before = lines[: trained.index(True)]
    assert any("note" in line for line in before), "told before the training ends"


def test_a_huge_grid_is_refused_at_once(folder):
    given = "pack --model none --facts none --out run --grid seed=0..99999 --json"
    done = lorepack(*given.split())
    assert done.returncode == 2
    assert "the grid makes 100,000 jobs (100,000 of seed), at most 1,000" in done.stderr
    assert not Path("run").exists()
