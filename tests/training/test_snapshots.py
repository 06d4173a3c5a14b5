"""Adapters after epochs are what shorter trainings give, and survive a crash byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from lorepack.training import train
from lorepack.training.snapshots import kept_epochs, snapshots_in
from training.test_engine import Stop, files_of
from training.toy import made, recipe, toy

CONSTANT = {"schedule": "constant", "lr": 3e-4, "dropout": 0.1}


def run(folder: Path, progress=None, snapshots: int = 2, **changes):
    return train(
        toy(), made(10), recipe(**{"epochs": 6, **CONSTANT, **changes}), out=folder / "t",
        adapter=folder / "a", seed=2, progress=progress, snapshots=snapshots,
    )  # fmt: skip


def weights(folder: Path):
    return load_file(folder / "adapter_model.safetensors")


@given(st.integers(1, 400), st.integers(0, 20))
def test_epochs_are_evenly_spaced_and_all_where_they_are_few(epochs, most):
    kept = sorted(kept_epochs(epochs, most))
    assert len(kept) == min(most, epochs - 1)
    assert all(0 < epoch < epochs for epoch in kept)
    gaps = [b - a for a, b in zip([0, *kept], [*kept, epochs], strict=True)]
    assert max(gaps) - min(gaps) <= 1


def test_what_is_kept_is_the_adapter_of_that_epoch(tmp_path):
    run(tmp_path / "whole")
    kept = snapshots_in(tmp_path / "whole" / "t")
    assert list(kept) == [2, 4]
    run(tmp_path / "short", epochs=2)
    want = weights(tmp_path / "short" / "a")
    got = weights(kept[2])
    assert all(torch.equal(got[key], want[key]) for key in want)
    last = weights(tmp_path / "whole" / "a")
    assert not all(torch.equal(got[key], last[key]) for key in want)


def test_keeping_them_changes_nothing_else(tmp_path):
    run(tmp_path / "with")
    run(tmp_path / "without", snapshots=0)
    for name in ("a/adapter_model.safetensors", "t/train.jsonl", "t/epochs.json"):
        with_, without = ((tmp_path / x / name).read_bytes() for x in ("with", "without"))
        assert with_ == without
    assert snapshots_in(tmp_path / "without" / "t") == {}


@pytest.mark.parametrize("at", [3, 7, 12, 14])
def test_interrupted_it_ends_with_the_same_bytes(tmp_path, at):
    run(tmp_path / "whole")

    def interrupt(done, total):
        if done >= at:
            raise Stop

    with pytest.raises(Stop):
        run(tmp_path / "again", interrupt)
    run(tmp_path / "again")
    assert files_of(tmp_path / "again") == files_of(tmp_path / "whole")


def test_one_that_is_gone_is_trained_again(tmp_path):
    run(tmp_path / "whole")
    copy = shutil.copytree(tmp_path / "whole", tmp_path / "again")
    (copy / "t" / "epochs" / "002" / "adapter_model.safetensors").unlink()
    run(copy)
    assert files_of(copy) == files_of(tmp_path / "whole")

    def interrupt(done, total):
        if done >= 14:
            raise Stop

    with pytest.raises(Stop):
        run(tmp_path / "third", interrupt)
    (tmp_path / "third" / "t" / "epochs" / "002" / "adapter_model.safetensors").unlink()
    done = run(tmp_path / "third")
    assert "training starts from step 0" in done.warnings[0]
    assert files_of(tmp_path / "third") == files_of(tmp_path / "whole")
