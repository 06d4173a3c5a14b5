"""Rows that were set aside are replaced by those of the same result, and by nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lorepack.errors import InputError
from lorepack.facts.aside import aside_of


def set_aside(path: Path, out: str) -> None:
    path.write_text(json.dumps({"out": out, "reason": "repeat"}) + "\n", encoding="utf-8")


@pytest.mark.parametrize("content", [None, "", '{"out": "own.csv", "line": 1}\n{"line": 2}\n'])
def test_the_plain_name_where_nothing_is_lost(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "rejected.jsonl").write_text(content)
    assert aside_of(tmp_path / "own.csv") == tmp_path / "rejected.jsonl"


@pytest.mark.parametrize("content", ['{"out": "own.jsonl"}\n', '{"line": 1}\n', "[1]", "\n", "{"])
def test_another_name_beside_what_is_not_its_own(tmp_path: Path, content: str) -> None:
    (tmp_path / "rejected.jsonl").write_text(content)
    assert aside_of(tmp_path / "own.csv") == tmp_path / "own.rejected.jsonl"


def test_results_of_one_stem_keep_theirs(tmp_path: Path) -> None:
    for out in ("a.jsonl", "own.csv", "own.jsonl"):
        set_aside(aside_of(tmp_path / out), out)
    names = {path.name: json.loads(path.read_text())["out"] for path in tmp_path.iterdir()}
    assert names == {
        "rejected.jsonl": "a.jsonl",
        "own.rejected.jsonl": "own.csv",
        "own.jsonl.rejected.jsonl": "own.jsonl",
    }


def test_where_all_names_are_taken_one_is_asked_for(tmp_path: Path) -> None:
    for name in ("rejected.jsonl", "own.rejected.jsonl", "own.csv.rejected.jsonl"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="say with --rejected FILE"):
        aside_of(tmp_path / "own.csv")
