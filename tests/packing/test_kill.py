"""SIGKILL at ten moments, in every stage: the same command again ends with the same bytes."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lorepack.files import sha256_of

# A stage begins when the one before it is whole: this file says so.
BEGINS = {
    "probe": "run.json",
    "mix": "probe/manifest.json",
    "train": "mix/manifest.json",
    "audit": "training/manifest.json",
    "report": "audit/manifest.json",
}
SHOWN = {
    "probe": '"stage": "probe"',
    "mix": '"stage": "train"',
    "train": '"stage": "train"',
    "audit": '"stage": "audit"',
    "report": '"stage": "audit"',
}
LONGEST = {"probe": 0.5, "mix": 0.002, "train": 2.0, "audit": 1.0, "report": 0.002}  # seconds
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


def kill_in(stage: str, delay: float, facts: Path, run: Path) -> None:
    """Start the command; SIGKILL it ``delay`` seconds after a stage has begun.

    Where the kill before fell so late that the stage had begun already, its progress tells.
    """
    late = (run / BEGINS[stage]).exists()
    log = run.with_name("progress.log")
    with open(log, "w") as errors:
        child = subprocess.Popen(command(facts, run), stderr=errors, stdout=subprocess.DEVNULL)
    while not (SHOWN[stage] in log.read_text() if late else (run / BEGINS[stage]).exists()):
        assert child.poll() is None, f"ended with {child.returncode} before {stage} began"
        time.sleep(0.002)
    time.sleep(delay)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL, f"ended before it was killed in {stage}"


@pytest.fixture(scope="module")
def facts(tmp_path_factory) -> Path:
    from lorepack import facts as room
    from lorepack.packing.demonstration import sample
    from lorepack.packing.sources import load_facts

    path = tmp_path_factory.mktemp("kill") / "facts.jsonl"
    room.write(path, sample(load_facts("world"), 64, seed=1))
    return path


@pytest.mark.slow
def test_ten_kills_in_every_stage_change_no_byte(facts, tmp_path):
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    subprocess.run(command(facts, calm), check=True, capture_output=True)
    draw = random.Random(0)
    for _ in range(2):
        for stage in BEGINS:
            kill_in(stage, draw.uniform(0, LONGEST[stage]), facts, killed)
        subprocess.run(command(facts, killed), check=True, capture_output=True)
        for name in PROVEN:
            assert sha256_of(calm / name) == sha256_of(killed / name), name
        assert not (killed / "training" / "checkpoint").exists()
        shutil.rmtree(killed)


@pytest.mark.slow
def test_a_killed_training_redoes_at_most_one_checkpoint_interval(facts, tmp_path):
    run = tmp_path / "run"
    kill_in("train", 1.5, facts, run)
    steps = len((run / "training" / "train.jsonl").read_text().splitlines())
    kept = max(int(p.parent.name[5:]) for p in run.glob("training/checkpoint/*/manifest.json"))
    assert kept > 0
    assert 0 <= steps - kept <= CHECKPOINT_EVERY
    again = subprocess.run(command(facts, run), check=True, capture_output=True, text=True)
    lines = [json.loads(x) for x in again.stderr.splitlines() if x.startswith("{")]
    first = next(line for line in lines if line["stage"] == "train")
    assert first["done"] >= kept
