"""The page about a file of facts: all numbers, nothing from outside, nothing that runs."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from tests.reports.test_browser import BROWSER

from lorepack.facts import Fact, write
from lorepack.facts.generators import phone_book
from lorepack.facts.looking import Statistics, stats
from lorepack.reports import facts_page
from lorepack.reports.facts_page import render

EVIL = "</script><script>alert(1)</script><b>"


def counted(folder: Path, facts: list[Fact]) -> Statistics:
    write(folder / "facts.jsonl", facts)
    return stats(folder / "facts.jsonl")


@pytest.fixture
def mixed(tmp_path: Path) -> Statistics:
    named = [
        Fact(f"Where is {n}?", ["Rome", f"town {n}"][n % 3 > 0], relation="place",
             popularity=float(n * n), split=["dev", "test"][n % 2])
        for n in range(300)
    ]  # fmt: skip
    return counted(tmp_path, [*phone_book(2_000), *named])


def own(page: str) -> str:
    """The page without the library that draws."""
    return re.sub(r"<script>.*?</script>", "", page, flags=re.S)


def test_the_numbers_stand_in_the_page(mixed: Statistics, tmp_path: Path):
    page = own(facts_page(mixed, tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "<strong>2,300 facts</strong> over <strong>2 relations</strong>" in page
    assert "stands for <strong>4.3" in page
    assert "[2-9][0-9]{2}-[2-9][0-9]{2}-[1-9][0-9]{3}" in page
    total = mixed.formats[0].total
    assert total is not None
    assert f"{round(total):,} bits" in page
    figures = json.loads(re.search(r'id="figures">(.*?)</script>', page, re.S)[1])
    assert set(figures) == set(re.findall(r'class="chart" id="([^"]+)"', page))
    bars = figures["chart-format-0"]["data"][1]
    assert sum(bars["y"]) == pytest.approx(mixed.formats[0].bits, abs=0.01)
    assert sum(figures["chart-popularity"]["data"][0]["y"]) == 300


def test_nothing_of_the_facts_runs_or_is_fetched(tmp_path: Path):
    facts = [Fact(f"{EVIL}{n}", EVIL, relation=EVIL, source=EVIL) for n in range(3)]
    page = own(render(counted(tmp_path, facts)))
    assert EVIL not in page
    assert "alert(1)&lt;/script&gt;" in page
    assert not re.search(r'(?:src|href)="', page)


def test_equal_numbers_give_equal_bytes(mixed: Statistics):
    assert render(mixed) == render(mixed)


def test_one_fact_of_nothing_else_has_a_page(tmp_path: Path):
    page = own(render(counted(tmp_path, [Fact("q", "x")])))
    assert "<strong>1 fact</strong>" in page
    assert "no fact says how popular its subject is" in page
    assert "no answer is known to occur twice" in page


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason="no Chromium installed")
def test_every_chart_is_drawn_from_the_file_alone(mixed: Statistics, tmp_path: Path):
    page = facts_page(mixed, tmp_path / "page.html")
    command = [
        BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        f"--user-data-dir={tmp_path}/profile", "--host-resolver-rules=MAP * ~NOTFOUND",
        "--virtual-time-budget=6000", "--dump-dom", page.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert not re.findall(r"CONSOLE.*(?:Uncaught|Refused|Error).*", done.stderr)
    assert done.stdout.count('class="chart js-plotly-plot"') == 6
