"""Every verb does its work on a small input, and ends with one JSON object when it is asked to."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

import lorepack
from lorepack import facts as room
from lorepack import packing, world
from lorepack.cli.main import VERBS, cli
from lorepack.packing import demonstration
from lorepack.probing import CATEGORIES

SAMPLE, UNKNOWN = 40, 2
"""the demo's facts and how many of them it trains, in these tests"""

FIGURES = {
    "facts", "categories", "unknown_trained", "reliability", "generality", "positive_shift",
    "negative_shift", "spillover_positive", "spillover_negative", "neutral_kl", "refusals_before",
    "refusals_after", "seconds",
}  # fmt: skip
HASTY = ["probe.prompts=1", "epochs=1", "min_steps=0"]
ONE_PROMPT = "--samples 0 --set prompts=1"

JOBS = """
out: jobs
defaults: {data: facts.jsonl, min_steps: 0}
jobs: [{name: one, rank: 1}, {name: two, rank: 2, seed: 1}]
"""

COMMANDS = {
    "facts make": ("--out new.jsonl world-new --size 8 --seed 1", {"facts", "out"}),
    "facts check": ("new.jsonl", {"facts", "problems"}),
    "facts import": (
        "new.jsonl --as jsonl --out imported.jsonl",
        {"read", "facts", "passages", "rejected", "seconds"},
    ),
    "facts show": ("new.jsonl --first 2", {"facts", "shown"}),
    "facts stats": ("new.jsonl", {"facts", "distinct", "relations", "answers", "lengths"}),
    "facts sample": ("new.jsonl -n 3 --out some.jsonl", {"facts", "of", "out"}),
    "facts split": ("new.jsonl --part a=0.5 --part b=0.5 --out parts", {"facts", "parts"}),
    "facts merge": ("new.jsonl some.jsonl --out all.jsonl", {"read", "facts", "united"}),
    "facts dedupe": ("all.jsonl --out once.jsonl", {"read", "facts", "duplicates"}),
    "synthesize": (
        "world --limit 3 --out synthesis --form qa:2 --form original",
        {"passages", "items", "facts", "texts", "rejected", "forms", "coverage", "requests", "out"},
    ),
    "paraphrase": (
        "new.jsonl -n 9 --out worded.jsonl",
        {"facts", "wordings", "short", "rejected", "requests", "cached", "out"},
    ),
    "probe": (
        f"--model world --facts facts.jsonl --out probe {ONE_PROMPT}",
        {"facts", "categories", "refusals", "controls", "seconds", "out"},
    ),
    "pack": (
        "--model world --facts facts.jsonl --out run --unknown 4 --samples 0 "
        + " ".join(f"--set {setting}" for setting in HASTY),
        {*FIGURES, "report", "adapter"},
    ),
    "pack --grid": (
        "rank=1,2 --model world --facts facts.jsonl --out grid --unknown 4 --samples 0 "
        + " ".join(f"--set {setting}" for setting in HASTY),
        {"jobs", "failed", "summary", "seconds", "notes"},
    ),
    "train": (
        "jobs.yaml --model world --set epochs=1",
        {"jobs", "failed", "summary", "seconds", "notes"},
    ),
    "report": ("--run jobs", {"report"}),
    "tune": (
        "run --out tuned --budget neutral_kl=10 --set budget.strengths=1",
        {"adapter", "audit", "budget", "seconds", "notes"},
    ),
    "audit": (
        f"--model world --adapter run/adapter --facts facts.jsonl --out audit {ONE_PROMPT}",
        {*FIGURES, "out"},
    ),
    "audit --run": ("run", {*FIGURES, "report", "adapter"}),
    "harm": (
        "--model world --adapter run/adapter --task world-truth --limit 3 --out harm",
        {"tool", "version", "model", "tasks", "out", "notes"},
    ),
    "harm --run": ("run --task world-truth --limit 3", {"tool", "version", "model", "tasks"}),
    "capacity probe": ("run", {"bits", "bits_a_parameter", "false_recall", "recalled"}),
    "report --run": ("run", {"report", "card"}),
    "models": ("", {"models"}),
    "completion": ("bash", {"shell", "script"}),
    "demo": ("--out demo", {*FIGURES, "report", "adapter"}),
}
"""what is run, in this order and in one folder: options, and the keys of the JSON object"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Result]]:
    """How every command ended; their folder is the current one for the tests of this file."""
    told = sorted(world.facts(), key=lambda fact: (-(fact.popularity or 0), fact.id))[:8]
    whole, neutral = world.neutral_text, world.neutral_text()[:10]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("verbs"))
        patch.setattr(world, "neutral_text", lambda count=0: whole(count) if count else neutral)
        patch.setattr(demonstration, "SAMPLE", SAMPLE)
        patch.setattr(demonstration, "UNKNOWN", UNKNOWN)
        patch.setattr(demonstration, "pack", functools.partial(packing.pack, sets=HASTY))
        Path("jobs.yaml").write_text(JOBS)
        room.write("facts.jsonl", [*world.new_facts(8, seed=1), *told])
        yield {
            name: CliRunner().invoke(cli, [*name.split(), *options.split(), "--json"])
            for name, (options, _) in COMMANDS.items()
        }


def last_object(stdout: str) -> dict[str, Any]:
    """The JSON object on the last line, which is the only one."""
    lines = stdout.splitlines()
    assert [line for line in lines if line.startswith("{")] == lines[-1:], stdout
    return json.loads(lines[-1])


def test_no_verb_is_left_out():
    assert {name.split()[0] for name in COMMANDS} == set(VERBS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_verb_ends_with_one_json_object_of_known_keys(ended, name):
    done, keys = ended[name], COMMANDS[name][1]
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    assert keys <= last_object(done.stdout).keys()


@pytest.mark.parametrize("name", ["probe", "pack", "audit", "audit --run", "demo"])
def test_every_fact_is_counted_in_one_of_the_four_categories(ended, name):
    row = last_object(ended[name].stdout)
    assert tuple(row["categories"]) == CATEGORIES
    assert sum(row["categories"].values()) == row["facts"] == (SAMPLE if name == "demo" else 16)


def test_auditing_a_run_repeats_the_figures_of_its_pack(ended):
    packed, audited = (last_object(ended[name].stdout) for name in ("pack", "audit --run"))
    assert packed["unknown_trained"] == 4
    assert {**audited, "seconds": 0} == {**packed, "seconds": 0}


@pytest.mark.parametrize("name", ["pack", "audit --run", "demo"])
def test_the_files_that_a_run_names_are_there(ended, name):
    row = last_object(ended[name].stdout)
    assert Path(row["report"]).is_file()
    assert (Path(row["adapter"]) / "adapter_model.safetensors").is_file()


def test_an_audit_on_a_terminal_ends_with_its_notes_and_its_folder(monkeypatch):
    row = {"facts": 2, "notes": ["first remark", "second"], "out": "there/audit"}
    audited = SimpleNamespace(to_json=lambda: row)
    monkeypatch.setattr("lorepack.packing.audits.audit_adapter", lambda *_, **__: audited)
    command = "audit --model m --adapter a --facts f --out there"
    shown = CliRunner().invoke(cli, command.split()).stdout.splitlines()
    assert shown[-3:] == ["note: first remark", "note: second", "results: there/audit"]


def test_the_demo_says_which_facts_it_takes_and_reports_on_those(ended):
    row = last_object(ended["demo"].stdout)
    assert (row["facts"], row["unknown_trained"]) == (SAMPLE, UNKNOWN)
    assert ended["demo"].stderr.startswith(f"{SAMPLE} of the made world's ")
    assert f"{SAMPLE} facts audited" in Path(row["report"]).read_text(encoding="utf-8")


def test_the_demo_from_python_is_that_of_the_command_line(ended):
    row = last_object(ended["demo"].stdout)
    again = lorepack.demo("demo").to_json()  # finished there, so nothing is computed again
    assert {**again, "seconds": 0} == {**row, "seconds": 0}


@pytest.mark.slow
def test_the_demo_at_its_full_size_learns_its_facts(tmp_path):
    command = [sys.executable, "-m", "lorepack", "demo", "--json", "--out", "demo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    row = last_object(done.stdout)
    assert COMMANDS["demo"][1] <= row.keys()
    assert (row["facts"], row["unknown_trained"]) == (400, 60)
    assert row["reliability"] > 0.9
    assert (tmp_path / row["report"]).is_file()
    assert (tmp_path / row["adapter"] / "adapter_model.safetensors").is_file()
