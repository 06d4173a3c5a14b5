"""`lorepack capacity probe`: of a run, of a job, of any adapter; and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import lorepack
from lorepack import facts as room
from lorepack.cli.main import cli
from lorepack.facts.generators import phone_book


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished job `book` and its facts."""
    folder = tmp_path_factory.mktemp("capacity")
    room.write(str(folder / "book.jsonl"), list(phone_book(6)))
    short = {"epochs": 2, "min_steps": 0}
    job = lorepack.Job("book", str(folder / "book.jsonl"), sets=short)
    lorepack.train([job], model="world", out=folder / "jobs", recall=False)
    return folder


def probe(*words: object) -> Result:
    return CliRunner().invoke(cli, ["capacity", "probe", *map(str, words)])


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout.splitlines()[-1]))


def test_a_job_is_measured_and_the_second_call_reads_it(trained: Path) -> None:
    words = [trained / "jobs/book", "--facts", trained / "book.jsonl", "--keys", 9]
    found = told(probe(*words, "--json"))
    file = trained / "jobs/book/bits/bits.json"
    assert json.loads(file.read_text()) == found
    assert found["values"] == 6
    assert found["known_entropy"]
    assert found["false_recall"]["keys"] == 9
    assert 0 <= found["bits"]["memory"] <= found["bits"]["clipped"] <= 6 * 32.5
    before = file.stat().st_mtime_ns
    shown = probe(*words)
    assert "false recall, of 9 keys never trained" in shown.output
    assert "ceiling" in shown.output
    assert file.stat().st_mtime_ns == before


def test_any_adapter_and_a_stated_entropy(trained: Path, tmp_path: Path) -> None:
    rows = [{**f.to_json(), "source": "elsewhere"} for f in phone_book(8)]
    facts, fresh = tmp_path / "own.jsonl", tmp_path / "fresh.jsonl"
    facts.write_text("".join(json.dumps(row) + "\n" for row in rows[:6]))
    fresh.write_text("".join(json.dumps(row) + "\n" for row in rows[4:]))
    words = ["--adapter", trained / "jobs/book/adapter", "--facts", facts, "--model", "world"]
    unknown = told(probe(*words, "--out", tmp_path / "a", "--json"))
    assert unknown["upper_bound"]
    assert "upper bound" in probe(*words, "--out", tmp_path / "a").output
    stated = ["--entropy", 32.4, "--pattern", r"[\d-]{12}", "--fresh", fresh]
    found = told(probe(*words, "--out", tmp_path / "b", *stated, "--json"))
    assert found["known_entropy"]
    assert found["entropy_bits"] == 32.4
    assert found["false_recall"]["keys"] == 2  # two of the four were trained


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give RUN, or --adapter"),
        (["RUN", "--adapter", "A"], "give RUN, or --adapter"),
        (["RUN", "--pattern", "x"], "--entropy"),
    ],
)
def test_wrong_options_are_named(words: list[str], said: str) -> None:
    result = probe(*words)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{jobs}"], "give the folder of one"),
        (["{jobs}/book"], "give --facts"),
        (["{jobs}/none"], "neither a run"),
        (["{jobs}/book", "--facts", "{other}"], "none of these"),
        (["{jobs}/book", "--facts", "{book}", "--entropy", "-1"], "entropy -1"),
        (["{jobs}/book", "--facts", "{book}", "--entropy", "1", "--pattern", "("], "pattern"),
    ],
)
def test_what_cannot_be_measured_is_told(
    trained: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    other = tmp_path / "other.jsonl"
    room.write(str(other), list(phone_book(3, seed=8)))
    places = {"jobs": trained / "jobs", "book": trained / "book.jsonl", "other": other}
    result = probe(*(word.format(**places) for word in words))
    assert isinstance(result.exception, lorepack.errors.LorepackError), result.output
    assert said in str(result.exception)


def test_a_run_knows_its_model_and_its_facts(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "jobs/book/adapter", tmp_path / "adapter")
    shutil.copy(trained / "book.jsonl", tmp_path / "facts.jsonl")
    (tmp_path / "run.json").write_text(json.dumps({"schema": 1, "model": {"name": "world"}}))
    found = told(probe(tmp_path, "--keys", 3, "--json"))
    assert found["values"] == 6
    assert (tmp_path / "bits/manifest.json").is_file()
