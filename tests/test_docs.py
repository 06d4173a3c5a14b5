"""Every command that the README and the docs show is run, in order, in one empty folder a page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.M | re.S)
FENCED = re.compile(r"^```(.*?)\n(.*?)^```", re.M | re.S)
MAKE = re.compile(r"^make ([a-z-]+)$")


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(m[1], m[2]) for m in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def commands(text: str) -> list[str]:
    """The lines of a shell block, continuation lines joined, comments left out."""
    joined = text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def environment() -> dict[str, str]:
    """The tests' own interpreter and its scripts first on the path."""
    scripts = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": scripts + os.pathsep + os.environ["PATH"]}


def run(block: tuple[str, str], folder: Path) -> None:
    kind, text = block
    if kind == "python":
        subprocess.run([sys.executable, "-c", text], cwd=folder, check=True, env=environment())
        return
    for line in commands(text):
        if MAKE.match(line):
            continue  # checked against the Makefile below; running it here would nest the suite
        done = subprocess.run(
            ["bash", "-c", line], cwd=folder, env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_there_are_pages_with_commands():
    assert sum(len(blocks(page)) for page in PAGES) >= 5


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_the_commands_of_a_page_run(page, tmp_path):
    for block in blocks(page):
        run(block, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_make_target_that_a_page_names_exists(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    named = [m[1] for _, text in blocks(page) for line in commands(text) if (m := MAKE.match(line))]
    assert set(named) <= set(targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_no_command_stands_in_a_block_that_is_not_run(page):
    text = page.read_text(encoding="utf-8")
    others = [m[2] for m in FENCED.finditer(text) if m[1] not in ("bash", "python")]
    assert re.findall(r"^(?:\$ *)?(?:lorepack|make|pip|python3?) .*", "\n".join(others), re.M) == []
