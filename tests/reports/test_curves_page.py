"""The page of curves shows every cell, its spread over seeds, and what could not be filled."""

import json

import pytest

from lorepack.errors import InputError, NotFoundError
from lorepack.reports import curves_page
from lorepack.reports.curves_file import read_curves
from lorepack.reports.curves_page import against, by_epoch


def cell(unknown, mode, each, seed, reliability, epochs=()):
    return {
        "unknown": unknown, "mode": mode, "each": each, "seed": seed, "epochs": list(epochs),
        "figures": {"reliability": reliability, "truth mc1": 0.5 - reliability / 10},
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    cells = [
        cell(size, mode, each, seed, round(1 / (1 + size / 100) - seed / 50, 4), (0.1, None, 0.9))
        for size in (1, 10, 100)
        for mode, each in (("none", 0), ("known", 10))
        for seed in (0, 1, 2)
    ]
    found = {
        "schema": 1, "model": {"name": "world", "fingerprint": "abc"},
        "recipe": {"rank": 1, "lr": 0.01, "epochs": 10}, "audited": 500, "prompts": 3,
        "base": {"truth mc1": 0.6}, "cells": cells,
        "missing": [{"unknown": 500, "mode": "known", "each": 10, "why": "only <3> are there"}],
    }  # fmt: skip
    (tmp_path / "curves.json").write_text(json.dumps(found))
    return tmp_path


def test_bands_reach_from_the_smallest_to_the_largest_seed(folder):
    data = against(read_curves(folder), "reliability")["data"]
    high, low, middle = data[:3]
    assert middle["name"] == "new facts alone"
    assert middle["x"] == [1, 10, 100]
    assert high["y"][2] == 0.5
    assert low["y"][2] == 0.46
    assert middle["y"][2] == pytest.approx(0.48)


def test_the_base_is_a_level_where_it_was_measured(folder):
    curves = read_curves(folder)
    assert [t["y"] for t in against(curves, "truth mc1")["data"] if t.get("name") == "base"] == [
        [0.6, 0.6]
    ]
    assert not [t for t in against(curves, "reliability")["data"] if t.get("name") == "base"]


def test_epochs_that_were_not_measured_are_left_out(folder):
    data = by_epoch(read_curves(folder), 10)["data"]
    assert data[2]["x"] == [1, 3]
    assert data[2]["y"] == [0.1, 0.9]


def test_the_page_names_cells_that_could_not_be_filled_and_is_the_same_twice(folder):
    first = curves_page(folder).read_bytes()
    assert b"500 new facts + 10 known" in first
    assert b"only &lt;3&gt; are there" in first
    assert curves_page(folder).read_bytes() == first


def test_no_curves_and_half_a_file_are_told(folder):
    with pytest.raises(NotFoundError, match=r"curves\.json"):
        curves_page(folder / "nowhere")
    whole = (folder / "curves.json").read_text()
    (folder / "curves.json").write_text(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"curves\.json: not valid JSON"):
        curves_page(folder)
    (folder / "curves.json").write_text(whole.replace('"unknown": 1,', '"unknown": 0,', 1))
    with pytest.raises(InputError, match="make it again"):
        curves_page(folder)
