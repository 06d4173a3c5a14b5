"""The page about many jobs: every figure of the files, and nothing that is not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from lorepack import files
from lorepack.errors import InputError, NotFoundError
from lorepack.reports import summary_page
from lorepack.reports.summary_charts import CURVES, charts, coloured_by, effects
from lorepack.reports.summary_file import read_summary

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


def row(name: str, rank: int, recall: float | None, error: str | None = None) -> dict[str, Any]:
    figures = {} if error else {"steps": 40, "recall": recall, "loss": 0.5 / rank}
    return {
        "name": name,
        "settings": {"rank": rank, "data": "<b>&"},
        "figures": figures,
        "error": error,
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Four jobs, one of which failed."""
    rows = [row("a", 1, 0.25), row("b", 4, 0.75), row("c", 16, 1.0), row("d", 16, None, "<i>NaN")]
    value = {
        "schema": 1,
        "kind": "jobs",
        "model": {"name": "toy", "fingerprint": "f" * 64},
        "keys": ["rank", "data"],
        "rows": rows,
    }
    files.write_json(tmp_path / "summary.json", value)
    for one in rows[:3]:
        lines = (json.dumps({"step": n, "loss": 2.0 / n, "lr": 0.1}) for n in range(1, 41))
        files.write_lines(tmp_path / one["name"] / "training" / "train.jsonl", lines)
    files.write_json(tmp_path / "timing.json", {"seconds": {"train": 30.0}})
    return tmp_path


def text_of(page: Path) -> str:
    html = page.read_text(encoding="utf-8").split("<noscript>")[0]
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S)).split())


def test_the_page_says_what_the_summary_says(out):
    said = text_of(summary_page(out)).replace("\u202f", " ")
    assert "4 adapters on toy , of which 1 failed ; recall from 25.0 % to 100 %" in said
    assert "d : <i>NaN" in said
    assert "a 1 <b>& 40 25.0 % 0.500" in said
    assert "10.0 s a job" in said


def test_equal_files_give_equal_bytes(out):
    first = summary_page(out).read_bytes()
    assert summary_page(out).read_bytes() == first


def test_every_job_has_its_curve_and_every_key_its_effect(out):
    found = read_summary(out)
    drawn = charts(found.summary, found.steps)
    lines = drawn["chart-loss"]["data"]
    assert [line["name"] for line in lines] == ["a", "b", "c"]
    assert lines[0]["y"] == [2.0 / n for n in range(1, 41)] or lines[0]["y"][0] == 2.0
    assert effects(found.summary) == [("rank", "recall"), ("rank", "loss")]
    dots, means = drawn["chart-effect-0"]["data"]
    assert (means["x"], means["y"]) == (["1", "4", "16"], [25.0, 75.0, 100.0])
    assert len(dots["x"]) == 3
    assert coloured_by(found.summary) == ("rank", ["1", "4", "16"])


def test_many_curves_are_an_even_choice_of_them(out):
    value = files.read_json(out / "summary.json")
    value["rows"] = [row(f"j{n}", 1 + n % 2, 0.5) for n in range(3 * CURVES)]
    files.write_json(out / "summary.json", value)
    found = read_summary(out)
    steps = {one.name: [(1.0, 2.0), (2.0, 1.0)] for one in found.summary.rows}
    lines = charts(found.summary, steps)["chart-loss"]["data"]
    assert [line["name"] for line in lines] == [f"j{n}" for n in range(0, 3 * CURVES, 3)]


def test_a_missing_or_broken_summary_is_told(out, tmp_path):
    with pytest.raises(NotFoundError, match=r"no summary\.json"):
        summary_page(out / "a")
    (out / "a" / "training" / "train.jsonl").write_text("{")
    with pytest.raises(InputError, match=r"train\.jsonl: cannot be read"):
        summary_page(out)
    files.write_json(out / "summary.json", {"kind": "jobs"})
    with pytest.raises(InputError, match=r"summary\.json: model"):
        summary_page(out)


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no Chromium installed")
def test_a_browser_draws_every_chart_without_an_error(out, tmp_path):
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND",
        "--virtual-time-budget=6000", "--dump-dom", summary_page(out).as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert not re.findall(r"CONSOLE.*(?:Uncaught|Refused|Error).*", done.stderr)
    assert done.stdout.count('class="chart js-plotly-plot"') == 3
