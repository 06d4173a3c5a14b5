"""A grid of runs: what it shares, and that each cell is the run it would be alone."""

from __future__ import annotations

import json
import shutil

import pytest

import lorepack
from lorepack import files, reports, world
from lorepack.errors import InputError, MismatchError
from packing.conftest import SETTINGS

GRID = {"rank": [1, 4], "paraphrases": "0,1"}
SHARED = {"unknown": 6, "samples": 0, "seed": 3}
SETS = ["probe.prompts=1", "epochs=3", "min_steps=0"]
NEUTRAL = world.neutral_text()[:4]


@pytest.fixture(scope="module")
def grid(tmp_path_factory, fact_file):
    out = tmp_path_factory.mktemp("grid") / "out"
    seen: list[tuple[str, int, int]] = []
    result = lorepack.pack_grid(
        "world", fact_file, out, GRID, settings=SHARED, sets=SETS, neutral=NEUTRAL,
        progress=lambda *told: seen.append(told),
    )  # fmt: skip
    return out, result, seen


def test_every_combination_is_a_run(grid):
    out, result, _ = grid
    names = [f"rank={rank},paraphrases={k}" for rank in (1, 4) for k in (0, 1)]
    assert [row.name for row in result.rows] == names
    assert not result.failed
    for name in names:
        assert files.read_json(out / name / "audit" / "audit.json")["trained"] == 6
        assert result[name].figures["examples"] == (12 if name.endswith("1") else 6)


def test_cells_that_are_probed_alike_are_probed_once(grid):
    out, _, seen = grid
    steps = [done for stage, done, _ in seen if stage == "probe"]
    assert len(steps) > 4
    assert steps == sorted(steps), "a probe began anew"
    probes = {files.sha256_of(cell / "probe" / "answers.parquet") for cell in out.glob("rank=*")}
    assert len(probes) == 1


def test_a_cell_is_the_run_that_pack_makes_alone(grid, fact_file, tmp_path):
    out, result, _ = grid
    alone = lorepack.pack(
        "world", fact_file, tmp_path / "alone", rank=4, paraphrases=1, sets=SETS, neutral=NEUTRAL,
        **SHARED,
    )  # fmt: skip
    cell = out / "rank=4,paraphrases=1"
    for name in ("run.json", "facts.jsonl", "mix/mix.jsonl", "probe/answers.parquet"):
        assert (cell / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    ours, theirs = (
        [json.loads(line)["loss"] for line in (run / "training" / "train.jsonl").open()]
        for run in (cell, tmp_path / "alone")
    )
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert result[cell.name].figures["reliability"] == alone.reliability


def test_a_cell_can_be_audited_and_reported_like_any_run(grid):
    out, result, _ = grid
    cell = out / "rank=1,paraphrases=0"
    again = lorepack.audit(run=cell)
    assert again.reliability == result[cell.name].figures["reliability"]
    assert reports.report(cell).is_file()
    assert "Reliability" in reports.summary_page(out).read_text(encoding="utf-8")


def test_the_same_grid_again_computes_nothing_and_a_larger_one_only_what_is_new(
    grid, fact_file, tmp_path
):
    out, result, _ = grid
    shutil.copytree(out, tmp_path / "copy")
    seen: list[tuple[str, int, int]] = []
    larger = lorepack.pack_grid(
        "world", fact_file, tmp_path / "copy", {"rank": [1, 2, 4], "paraphrases": [1]},
        settings=SHARED, sets=SETS, neutral=NEUTRAL, progress=lambda *told: seen.append(told),
    )  # fmt: skip
    _, done, total = next(told for told in seen if told[0] == "train")
    assert total - done == 3  # steps of one cell
    for row in larger.rows:
        if row.name in {old.name for old in result.rows}:
            assert row.figures == result[row.name].figures


@pytest.mark.parametrize(
    ("grid", "settings", "told"),
    [
        ({"rnak": [1]}, {}, "grid: unknown key 'rnak'; did you mean rank"),
        ({"epochs": [1, 2]}, {}, "epochs varies, but --set epochs=3 fixes it"),
        ({}, {}, "an empty grid"),
        ({"rank": []}, {}, "rank has no value"),
        ({"rank": [4, 4]}, {}, "two cells are called 'rank=4'"),
        ({"known": ["a"]}, {}, "cell known=a: known='a': expected a whole number"),
        ({"lr": [-1]}, {}, "cell lr=-1: recipe: lr"),
        ({"seed": "0..99999"}, {}, "the grid makes 100,000 jobs"),
        ({"rank": [1, 4096]}, {}, "cell rank=4096: rank 4096 is above the width of model"),
        ({"probe.prompt": [1]}, {}, "unknown key 'probe.prompt'; did you mean probe.prompts"),
        ({"unknown": [2, 500]}, {"samples": 0}, "cell unknown=500: asked 500 Unknown facts"),
    ],
)
def test_a_grid_that_cannot_be_is_told_before_any_training(
    fact_file, tmp_path, grid, settings, told
):
    with pytest.raises(InputError, match=told):
        lorepack.pack_grid(
            "world", fact_file, tmp_path / "out", grid, settings=settings, sets=SETS,
            neutral=NEUTRAL,
        )  # fmt: skip
    assert not list((tmp_path / "out").rglob("training"))


def test_a_grid_and_a_run_do_not_share_a_folder(grid, finished, fact_file):
    out, _, _ = grid
    run, _ = finished
    with pytest.raises(MismatchError, match="holds a run of `lorepack pack`"):
        lorepack.pack_grid("world", fact_file, run, GRID)
    with pytest.raises(MismatchError, match="holds a grid of"):
        lorepack.pack("world", fact_file, out, **SETTINGS)
