"""`lorepack harm` on the command line: tables, and one line where it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from lorepack import lora
from lorepack.cli.main import cli
from lorepack.errors import LorepackError
from lorepack.llm import load
from lorepack.packing.harm import names_of

pytest.importorskip("lm_eval")


@pytest.fixture(scope="module")
def adapters(tmp_path_factory) -> list[Path]:
    """Two adapters on disk in folders of one name, and one that holds NaN."""
    home, lm = tmp_path_factory.mktemp("adapters"), load("world", device="cpu")
    spec = lora.AdapterSpec(2, 4.0, False, tuple(lora.resolve(lm.model, ("mlp",))))
    folders = []
    for number, name in enumerate(("one", "two", "broken")):
        stack = lora.Stack(lm.model, [spec], [number])
        with torch.no_grad():
            for factor in stack.B.values():
                factor.normal_(0, 0.1, generator=torch.Generator().manual_seed(number))
        folder = home / name / "adapter"
        made_for = {"base": {"name": "world", "fingerprint": lm.fingerprint}}
        lora.save(folder, spec, stack.factors(0), base_name="world", provenance=made_for)
        folders.append(folder)
    weights = folders[2] / "adapter_model.safetensors"
    tensors = load_file(weights)
    next(iter(tensors.values())).fill_(float("nan"))
    save_file(tensors, weights)
    return folders


def invoke(*args: str):
    return CliRunner().invoke(cli, ["harm", *map(str, args)])


def test_adapters_stand_beside_their_base_in_a_table(adapters, tmp_path):
    one, two, _ = adapters
    done = invoke("--model", "world", "--adapter", one, "--adapter", two, "--task", "world-choice",
                  "--limit", "5", "--out", tmp_path / "out")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "world-choice: 5 items, 0 shots" in done.output
    for text in ("base", "one/adapter", "two/adapter", "Δ to base"):
        assert text in done.output
    document = json.loads((tmp_path / "out" / "harm.json").read_text())
    metric = document["tasks"]["world-choice"]["metrics"]["acc"]
    assert set(metric["adapters"]) == {"one/adapter", "two/adapter"}


def test_the_base_alone_is_measured(tmp_path):
    done = invoke("--model", "world", "--task", "world-truth", "--limit", "3", "--out",
                  tmp_path / "out", "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout.splitlines()[-1])
    assert row["tasks"]["world-truth"]["metrics"]["mass"]["adapters"] == {}


def test_an_adapter_with_nan_is_refused(adapters, tmp_path):
    done = invoke("--model", "world", "--adapter", adapters[2], "--out", tmp_path / "out")
    assert isinstance(done.exception, LorepackError)
    assert "NaN" in str(done.exception)
    assert not (tmp_path / "out" / "harm.json").exists()


@pytest.mark.parametrize("args", [["--model", "world"], ["--run", "r", "--model", "world"]])
def test_half_a_command_is_refused(args):
    done = invoke(*args)
    assert done.exit_code == 2


def test_adapters_are_named_as_short_as_tells_them_apart():
    assert names_of([Path("a/x"), Path("b/y")]) == ["x", "y"]
    assert names_of([Path("a/adapter"), Path("b/adapter")]) == ["a/adapter", "b/adapter"]
    assert names_of([Path("runs/base")]) == ["runs/base"]
    assert names_of([]) == []
    with pytest.raises(LorepackError, match="twice"):
        names_of([Path("a"), Path("./a")])
