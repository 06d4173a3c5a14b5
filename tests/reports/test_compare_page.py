"""The page that compares adapters: every figure of the file, and nothing that is not."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from lorepack import files
from lorepack.errors import InputError, NotFoundError
from lorepack.reports import compare_page
from lorepack.reports.compare_file import read_comparison
from lorepack.reports.compare_page import PAIRS, scatter

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)


def row(name: str, reliability: float | None, worse: float | None, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "base": "toy", "fingerprint": "f" * 64, "facts": 1200, "trained": 40,
        "reliability": reliability, "generality": None, "spillover_negative": worse,
        "spillover_positive": 0.01, "neutral_kl": 0.0123, "refusals_before": 7,
        "refusals_after": 3, "known_before": 0.25, "known_after": 0.5,
        "intervals": {"reliability": [0.4, 0.99]} if reliability else {}, "notes": [], **more,
    }  # fmt: skip


def pair(a: str, b: str, p: float, which: str = "trained") -> dict[str, Any]:
    return {"a": a, "b": b, "set": which, "facts": 40, "only_a": 9, "only_b": 1, "p": p,
            "holm": min(1.0, 2 * p), "difference": 0.125, "low": 0.05, "high": 0.2}  # fmt: skip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Three adapters, two of which are seeds of one recipe."""
    spread = {"mean": 0.8, "min": 0.75, "max": 0.85}
    value = {
        "schema": 1,
        "model": {"name": "toy", "fingerprint": "f" * 64},
        "rows": [row("a-0", 0.75, 0.02), row("a-1", 0.85, 0.03), row("<i>b", 0.5, 0.1)],
        "pairs": [pair("a-0", "a-1", 0.4), pair("a-0", "<i>b", 0.0004, "untrained")],
        "groups": [{"name": "a (2 seeds)", "rows": ["a-0", "a-1"], "seeds": [0, 1],
                    "reliability": spread,
                    "spillover_negative": {"mean": 0.025, "min": 0.02, "max": 0.03}}],
        "notes": ["a <b>note</b>"],
    }  # fmt: skip
    files.write_json(tmp_path / "compare.json", value)
    return tmp_path


def changed(out: Path, **parts: Any) -> None:
    files.write_json(out / "compare.json", {**files.read_json(out / "compare.json"), **parts})


def text_of(page: Path) -> str:
    html = page.read_text(encoding="utf-8").split("<noscript>")[0]
    plain = re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S)
    return " ".join(unescape(plain).split()).replace("\u202f", " ")


def test_the_page_says_what_the_file_says(out: Path) -> None:
    said = text_of(compare_page(out))
    assert "3 adapters on toy ; reliability from 50.0 % to 85.0 % , and from 2.0 % to" in said
    assert "a-0 40 1,200 75.0 % 40.0 % to 99.0 % 2.0 % 1.0 % 0.0123 7 3 25.0 % 50.0 %" in said
    assert "a (2 seeds) 80.0 % 75.0 % to 85.0 % 2.5 % 2.0 % to 3.0 %" in said
    assert "a-0 a-1 trained by both 40 9 1 +12.5 +5.0 to +20.0 0.400 0.800" in said
    assert "a <b>note</b>" in said, "text of the data stays text"


def test_the_surest_difference_comes_first(out: Path) -> None:
    said = text_of(compare_page(out))
    assert said.index("in neither mix 40 9 1") < said.index("trained by both 40 9 1")
    assert "<0.001" in said
    assert compare_page(out).read_text(encoding="utf-8").count('class="sure"') == 1


def test_many_pairs_are_cut_and_counted(out: Path) -> None:
    changed(out, pairs=[pair("a-0", "a-1", 0.5)] * (PAIRS + 1234))
    assert "1,234 further pairs are in compare.json" in text_of(compare_page(out))


def test_every_adapter_with_both_figures_is_a_dot(out: Path) -> None:
    rows = [*files.read_json(out / "compare.json")["rows"], row("n", None, 0.1), row("m", 1, None)]
    changed(out, rows=rows)
    drawn = scatter(read_comparison(out))
    assert drawn is not None
    *dots, cross = drawn["data"]
    assert [(dot["x"], dot["y"]) for dot in dots] == [
        ([2.0], [75.0]),
        ([3.0], [85.0]),
        ([10.0], [50.0]),
    ]
    assert dots[0]["error_y"]["array"] == [24.0]
    assert dots[0]["error_y"]["arrayminus"] == [35.0]
    assert cross["x"][:2] == [2.0, 3.0]
    assert cross["y"][3:] == [75.0, 85.0]
    colors = [dot["marker"]["color"] for dot in dots]
    assert colors[0] == colors[1] != colors[2], "seeds of one recipe share a colour"
    assert dots[2]["name"] == "&lt;i>b", "no markup in a hover label"
    assert drawn["layout"]["xaxis"]["range"][1] > 10


def test_different_bases_stand_beside_each_row(out: Path) -> None:
    rows = [row("a", 0.5, 0.1), row("b", 0.5, 0.1, base="other", fingerprint="e" * 64)]
    changed(out, model=None, rows=rows, groups=[], pairs=[])
    said = text_of(compare_page(out))
    assert "2 adapters on 2 bases ; reliability 50.0 % , and 10.0 %" in said
    assert "b other 40 1,200" in said
    assert "compare each with its own" in said


def test_what_was_not_measured_has_no_column_and_no_chart(out: Path) -> None:
    changed(out, rows=[row("a", None, None, neutral_kl=None)], groups=[], pairs=[])
    page = compare_page(out)
    said = text_of(page)
    assert "reliability was not measured" in said
    assert "KL, neutral text" not in said
    assert 'id="chart-compare"' not in page.read_text(encoding="utf-8")


def test_equal_files_give_equal_bytes_without_a_network(out: Path) -> None:
    first = compare_page(out).read_bytes()
    assert compare_page(out).read_bytes() == first
    html = first.decode().split("<noscript>")[0]
    assert not re.findall(r"(?:src|href)=", html)


def test_a_missing_or_broken_comparison_is_told(out: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no compare\.json"):
        compare_page(out / "nowhere")
    changed(out, rows=[])
    with pytest.raises(InputError, match=r"compare\.json: rows"):
        compare_page(out)


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no Chromium installed")
def test_a_browser_draws_the_plot_without_an_error(out: Path, tmp_path: Path) -> None:
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}", "--host-resolver-rules=MAP * ~NOTFOUND",
        "--virtual-time-budget=6000", "--dump-dom", compare_page(out).as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert not re.findall(r"CONSOLE.*(?:Uncaught|Refused|Error).*", done.stderr)
    assert done.stdout.count('class="chart js-plotly-plot"') == 1
