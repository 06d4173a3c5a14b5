"""Sinks: each library gets what it expects; a missing or failing one is one line, never the end."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from lorepack.errors import InputError
from lorepack.training import sinks
from lorepack.training.loop import Order, train_many
from training.toy import made, recipe, toy

Told = list[tuple[Any, ...]]


def fake_runs(name: str, told: Told) -> ModuleType:
    """A module in the form of wandb and trackio: ``init`` gives runs that log and finish."""
    module = ModuleType(name)

    def init(**given: Any) -> Any:
        told.append(("init", given))
        job = given["name"]
        return SimpleNamespace(
            log=lambda values, step: told.append((job, step, values)),
            finish=lambda: told.append((job, "finish")),
        )

    module.init = init  # type: ignore[attr-defined]
    return module


def fake_boards(told: Told) -> ModuleType:
    module = ModuleType("torch.utils.tensorboard")

    class SummaryWriter:
        def __init__(self, log_dir: str, purge_step: int) -> None:
            self.job = Path(log_dir).name
            told.append(("init", log_dir, purge_step))

        def add_scalar(self, key: str, value: float, step: int) -> None:
            told.append((self.job, step, {key: value}))

        def close(self) -> None:
            told.append((self.job, "finish"))

    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    return module


def orders(folder: Path) -> list[Order]:
    return [
        Order(
            made(8, seed=number),
            recipe(),
            folder / f"t{number}",
            folder / f"a{number}",
            seed=number,
            name=f"grid/{number}",
            on_epoch=lambda epoch, stack: epoch / 4,
        )
        for number in range(2)
    ]


def logged(folder: Path, *chosen: sinks.Sink) -> tuple[list[Any], list[str]]:
    notes: list[str] = []
    place = folder / "checkpoint"
    options: dict[str, Any] = {"sinks": chosen, "note": notes.append, "slots": 2, "tokens": 999}
    return train_many(toy(), orders(folder), checkpoints=place, **options), notes


@pytest.mark.parametrize("name", ["wandb", "trackio", "tensorboard"])
def test_every_value_of_every_step_arrives(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: Told = []
    module = fake_boards(told) if name == "tensorboard" else fake_runs(name, told)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    logged(tmp_path, sinks.named(name, project="facts", folder=tmp_path))
    for number in range(2):
        job = f"grid-{number}" if name == "tensorboard" else f"grid/{number}"
        found: dict[int, dict[str, float]] = {}
        for where, step, *values in (row for row in told if row[0] == job):
            assert where == job
            if step != "finish":
                found.setdefault(step, {}).update(values[0])
        lines = (tmp_path / f"t{number}/train.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        for row in rows:
            kept = {key: row[key] for key in ("grad_norm", "loss", "lr", "tokens")}
            extra = {"reliability": row["epoch"] / 4} if row["step"] % 2 == 0 else {}
            assert found[row["step"]] == kept | extra
        assert len(found) == len(rows) == 4
        assert told.count((job, "finish")) == 1
    begun = [row for row in told if row[0] == "init"]
    assert len(begun) == 2
    if name != "tensorboard":
        assert begun[0][1]["project"] == "facts"


@pytest.mark.parametrize("name", ["wandb", "trackio", "tensorboard"])
def test_a_missing_library_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "torch.utils.tensorboard" if name == "tensorboard" else name
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=f"logging to {name} needs .*pip install {name}") as told:
        sinks.named(name, project="p", folder="f")
    assert "\n" not in str(told.value)


def test_an_unknown_place_is_answered_with_the_likely_one() -> None:
    with pytest.raises(InputError, match=r"no such place; did you mean wandb\?"):
        sinks.named("wanbd", project="p", folder="f")


class Failing:
    """Fails at its third value, and at the end."""

    def __init__(self) -> None:
        self.asked = 0

    def log(self, job: str, step: int, values: sinks.Values) -> None:
        self.asked += 1
        if self.asked == 3:
            raise ConnectionError("the server\nis gone")

    def close(self) -> None:
        raise ConnectionError("never reached")


def test_a_failing_sink_warns_once_and_training_is_as_without(tmp_path: Path) -> None:
    failing = Failing()
    outcomes, notes = logged(tmp_path / "with", failing)
    assert notes == [
        "Failing: logging failed and is off from here on (ConnectionError: the server is gone); "
        "training goes on"
    ]
    assert failing.asked == 3
    assert all(notes[0] in outcome.warnings for outcome in outcomes)
    logged(tmp_path / "without")
    for name in ("t0/train.jsonl", "t1/result.json", "a1/adapter_model.safetensors"):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()
