"""Grids: how they are written, counted and named."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lorepack.errors import InputError
from lorepack.packing.axes import cells, label, parse_axes, shown
from lorepack.packing.job import check_name


def test_an_axis_is_a_list_or_a_range_with_both_ends():
    axes = parse_axes(["rank=1, 4,16", "seed=0..2", "lr=1e-3,0.01", "layers=0,1;2,3", "dropout=0"])
    assert {key: list(values) for key, values in axes.items()} == {
        "rank": [1, 4, 16],
        "seed": [0, 1, 2],
        "lr": ["1e-3", 0.01],
        "layers": ["0,1", "2,3"],
        "dropout": [0],
    }


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["rank"], "expected key=values"),
        (["=1"], "expected key=values"),
        (["rank="], "expected key=values"),
        (["rank=1", "rank=2"], "rank is given twice"),
        (["seed=3..1"], "seed has no value"),
    ],
)
def test_a_broken_axis_is_refused_by_name(given, told):
    with pytest.raises(InputError, match=told):
        parse_axes(given)


@given(st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(), min_size=1, max_size=4)))
def test_cells_are_the_product_of_the_axes_the_last_one_fastest(axes):
    expected = [dict(zip(axes, row, strict=True)) for row in itertools.product(*axes.values())]
    assert cells(axes) == expected


def test_a_huge_grid_is_refused_with_its_count_before_it_is_made():
    axes = parse_axes(["seed=0..99999999", "rank=1,2"])
    with pytest.raises(InputError, match=r"200,000,000 jobs \(100,000,000 of seed × 2 of rank\)"):
        cells(axes)
    assert len(cells(parse_axes(["seed=0..1499"]), most=1500)) == 1500


@given(st.dictionaries(st.sampled_from(["rank", "recipe"]), st.text() | st.integers(0), min_size=1))
def test_the_name_of_any_cell_can_be_a_folder(cell):
    name = label(cell)
    if len(name.encode()) <= 200:
        check_name(name.rstrip("."))


def test_names_show_paths_by_their_stem():
    assert shown("data/book.v2.csv") == "book.v2"
    assert shown(["a.csv", "b.jsonl"]) == "a+b"
    assert (
        label({"lr": 0.001, "targets": ["mlp"], "clip": None}) == "lr=0.001,targets=mlp,clip=none"
    )
