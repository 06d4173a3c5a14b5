"""SIGKILL at ten moments, in every stage: the same command again ends with the same bytes."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lorepack.files import sha256_of

STAGES = ("probe", "train", "audit", "report")
PROVEN = (
    "run.json",
    "facts.jsonl",
    "probe/probe.json",
    "probe/answers.parquet",
    "probe/categories.parquet",
    "mix/mix.jsonl",
    "mix/mix.json",
    "training/train.jsonl",
    "adapter/adapter_model.safetensors",
    "adapter/adapter_config.json",
    "adapter/lorepack.json",
    "adapter/README.md",
    "audit/audit.json",
    "audit/answers.parquet",
    "audit/categories.parquet",
)
CHECKPOINT_EVERY = 5


def command(facts: Path, run: Path) -> list[str]:
    return [
        sys.executable, "-m", "lorepack", "pack", "--model", "world", "--facts", str(facts),
        "--out", str(run), "--unknown", "12", "--known", "1", "--samples", "1", "--seed", "3",
        "--set", "probe.chunk=16", "--set", "probe.prompts=2", "--set", "epochs=12",
        "--set", f"checkpoint_every={CHECKPOINT_EVERY}", "--json",
    ]  # fmt: skip


def run_until(args: list[str], stage: str, delay: float) -> tuple[bool, list[dict]]:
    """Start the command; kill it ``delay`` seconds after ``stage`` begins.

    Returns whether it was killed before it ended, and the progress lines it printed.
    """
    child = subprocess.Popen(args, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert child.stderr is not None
    lines: list[dict] = []
    deadline = None
    while child.poll() is None:
        ready, _, _ = select.select([child.stderr], [], [], 0.01)
        if ready:
            text = child.stderr.readline()
            if text.startswith("{"):
                lines.append(json.loads(text))
                if deadline is None and lines[-1]["stage"].startswith(stage):
                    deadline = time.monotonic() + delay
        if deadline is not None and time.monotonic() >= deadline:
            child.send_signal(signal.SIGKILL)
            child.wait()
            return True, lines
    assert child.returncode == 0
    return False, lines


@pytest.fixture(scope="module")
def facts(tmp_path_factory) -> Path:
    from lorepack import facts as room
    from lorepack.packing.demonstration import sample
    from lorepack.packing.sources import load_facts

    path = tmp_path_factory.mktemp("kill") / "facts.jsonl"
    room.write(path, sample(load_facts("world"), 64, seed=1))
    return path


@pytest.mark.slow
def test_ten_kills_change_no_byte(facts, tmp_path):
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    subprocess.run(command(facts, calm), check=True, capture_output=True, env=os.environ)
    draw, kills, seen = random.Random(0), 0, set()
    while kills < 10:
        stage = STAGES[kills % len(STAGES)]
        if (killed / "report.html").exists() or seen >= set(STAGES):
            subprocess.run(["rm", "-rf", str(killed)], check=True)
            seen = set()
        was_killed, _ = run_until(command(facts, killed), stage, draw.uniform(0, 0.4))
        seen.add(stage)
        kills += was_killed
    subprocess.run(command(facts, killed), check=True, capture_output=True)
    for name in PROVEN:
        assert sha256_of(calm / name) == sha256_of(killed / name), name
    assert not (killed / "training" / "checkpoint").exists()


@pytest.mark.slow
def test_a_killed_training_redoes_at_most_one_checkpoint_interval(facts, tmp_path):
    run = tmp_path / "run"
    was_killed, _ = run_until(command(facts, run), "train", 0.3)
    assert was_killed
    state = json.loads((run / "training" / "checkpoint" / "state.json").read_text())
    _, lines = run_until(command(facts, run), "never", 0)
    first = next(line for line in lines if line["stage"] == "train")
    assert first["done"] >= state["step"]
