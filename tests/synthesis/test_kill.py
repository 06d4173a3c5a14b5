"""SIGKILL at any moment: the same command goes on, asks nothing twice, and ends the same."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lorepack.files import sha256_of
from lorepack.synthesis.cache import Cache
from lorepack.synthesis.output import LISTS

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys, time
from pathlib import Path
from lorepack.synthesis import SynthesisSettings, synthesize
from tests.synthesis.scripted import Scripted, passages, proper

def slow(request):
    time.sleep(0.004)
    with open(sys.argv[2], "a") as log:
        log.write(request.key("") + "\\n")
    return proper(request)

forms = ("qa:3", "summary:1", "exam:1", "original")
settings = SynthesisSettings(forms=forms, window=6)
synthesize(passages(60, 4), sys.argv[1], settings, Scripted(slow))
"""


def start(out: Path, log: Path) -> subprocess.Popen[bytes]:
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(out), str(log)],
        env={**os.environ, "PYTHONPATH": path},
    )


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def finish(out: Path, log: Path) -> None:
    assert start(out, log).wait() == 0


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> tuple[Path, int]:
    out = tmp_path_factory.mktemp("calm")
    finish(out / "out", out / "log")
    return out / "out", len(lines(out / "log"))


def test_kills_change_no_byte_and_cost_no_reply(calm, tmp_path):
    whole, asked = calm
    out, log, draw = tmp_path / "out", tmp_path / "log", random.Random(0)
    for share in (0.0, 0.1, 0.4, 0.9):
        run = start(out, log)
        until = max(len(lines(log)) + 1, int(share * asked)) + draw.randint(0, 9)
        while len(lines(log)) < until:
            assert run.poll() is None, "it ended before it was killed"
            time.sleep(0.002)
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
        assert not (out / "manifest.json").exists()
        assert not (out / "items.jsonl").exists()
        with Cache(out / "replies.sqlite") as cache:
            # What was being asked when it was killed may be asked again.
            assert len(cache) >= len(set(lines(log))) - 1
    finish(out, log)
    assert len(lines(log)) <= asked + 4
    for name in (*LISTS, "synthesis.json", "manifest.json"):
        assert sha256_of(out / name) == sha256_of(whole / name), name
    assert not list(out.glob(".*.partial"))


def test_ctrl_c_keeps_what_came(calm, tmp_path):
    whole, asked = calm
    out, log = tmp_path / "out", tmp_path / "log"
    run = start(out, log)
    while len(lines(log)) < asked // 3:
        assert run.poll() is None
        time.sleep(0.002)
    run.send_signal(signal.SIGINT)
    assert run.wait() != 0
    assert not list(out.glob(".*.partial"))
    finish(out, log)
    assert len(lines(log)) <= asked + 1
    for name in (*LISTS, "synthesis.json", "manifest.json"):
        assert sha256_of(out / name) == sha256_of(whole / name), name
