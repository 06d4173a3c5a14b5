"""A job stops where the first of its rules says, and resumes to the same bytes under each."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from lorepack.errors import InputError
from lorepack.lora import Stack
from lorepack.training import Example, train
from lorepack.training.batches import Fitted
from lorepack.training.harm import harm
from lorepack.training.job import Job
from lorepack.training.result import TrainResult
from training.test_engine import Stop, files_of
from training.toy import made, recipe, toy

GUARD = made(4, seed=77)


def job_of(examples: list[Example], **changes: Any) -> Job:
    return Job(recipe(**changes), None, Fitted(tuple(examples), 0, 0), 3, {})  # type: ignore[arg-type]


facts = st.lists(st.integers(0, 3), min_size=1, max_size=14)


@settings(deadline=None)
@given(facts, st.integers(1, 5), st.integers(1, 3), st.integers(1, 60), st.integers(1, 9))
def test_limits_known_beforehand_are_those_of_going_through_the_steps(
    names: list[int], batch: int, exposures: int, tokens: int, steps: int
) -> None:
    examples = [Example((1, 2, 3, 4)[: 2 + n % 3], 1, f"f{name}") for n, name in enumerate(names)]
    limits = {"exposures": exposures, "max_tokens": tokens, "max_steps": steps}
    job = job_of(examples, batch_size=batch, epochs=4, **limits)
    seen, counted, step = Counter[str](), 0, 0
    while True:
        order = job.order_of(step // job.steps_an_epoch + 1)
        for place in job.examples_of(step):
            example = examples[order[place]]
            seen[example.fact_id] += 1
            counted += len(example.ids) - 1
        step += 1
        reasons = {
            "epochs": step == 4 * job.steps_an_epoch,
            "max_steps": step == steps,
            "max_tokens": counted >= tokens,
            "exposures": min(seen[f"f{name}"] for name in names) >= exposures,
        }
        if any(reasons.values()):
            break
    assert job.planned[0] == step
    assert reasons[job.planned[1]]


def run(folder: Path, progress: Any = None, guard: Any = (), **changes: Any) -> TrainResult:
    return train(
        toy(),
        made(10),
        recipe(**{"epochs": 4, **changes}),
        out=folder / "t",
        adapter=folder / "a",
        seed=2,
        guard=guard,
        progress=progress,
    )


def epochs_of(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "t" / "epochs.json").read_text())["epochs"]
    return found


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "a" / "adapter_model.safetensors")


RULES: dict[str, tuple[dict[str, Any], int]] = {
    "epochs": ({}, 12),
    "max_steps": ({"max_steps": 5}, 5),
    "max_tokens": ({"max_tokens": 60}, 5),
    "exposures": ({"exposures": 2}, 6),
    "stop_probability": ({"stop_probability": 2.3e-4, "lr": 1e-2}, 6),
    "harm_budget": ({"harm_budget": 1.5e-5, "schedule": "constant", "lr": 3e-4}, 9),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_result_says_why_it_ended(rule: str, tmp_path: Path) -> None:
    changes, steps = RULES[rule]
    done = run(tmp_path, guard=GUARD if rule == "harm_budget" else (), **changes)
    told = json.loads((tmp_path / "t" / "result.json").read_text())
    assert done.steps == steps
    assert (done.stopped, told["stopped"], told["steps"]) == (rule, rule, done.steps)
    assert len((tmp_path / "t" / "train.jsonl").read_text().splitlines()) == done.steps
    assert epochs_of(tmp_path)[-1]["step"] == done.steps
    assert run(tmp_path, guard=GUARD if rule == "harm_budget" else (), **changes) == done


@pytest.mark.parametrize("rule", RULES)
def test_interrupted_under_each_rule_it_ends_with_the_same_bytes(rule: str, tmp_path: Path) -> None:
    changes, _ = RULES[rule]
    options = {**changes, "dropout": 0.1, "guard": GUARD if rule == "harm_budget" else ()}
    run(tmp_path / "whole", **options)
    for at in (1, 3, 5):
        folder = tmp_path / f"stopped{at}"
        seen: list[int] = []

        def interrupt(done: int, total: int, at: int = at, seen: list[int] = seen) -> None:
            seen.append(done)
            if done >= at:
                raise Stop

        with pytest.raises(Stop):
            run(folder, interrupt, **options)
        run(folder, **options)
        assert files_of(folder) == files_of(tmp_path / "whole"), at


def test_the_schedule_ends_where_the_limit_does(tmp_path: Path) -> None:
    run(tmp_path, max_steps=4, lr=1e-3)
    lines = (tmp_path / "t" / "train.jsonl").read_text().splitlines()
    assert [json.loads(line)["lr"] for line in lines] == pytest.approx(
        [1e-3, 0.75e-3, 0.5e-3, 0.25e-3]
    )


def test_an_epoch_that_is_cut_short_is_measured_too(tmp_path: Path) -> None:
    run(tmp_path, max_steps=5)
    assert [(row["epoch"], row["step"]) for row in epochs_of(tmp_path)] == [(1, 3), (2, 5)]
    rows = [json.loads(x) for x in (tmp_path / "t" / "train.jsonl").read_text().splitlines()]
    last = rows[3:]
    mean = sum(r["loss"] * r["tokens"] for r in last) / sum(r["tokens"] for r in last)
    assert epochs_of(tmp_path)[1]["loss"] == pytest.approx(mean)


def test_the_probability_is_the_least_of_the_epoch_as_it_was_seen(tmp_path: Path) -> None:
    """With batches of one and a single answer token a step's loss is that token's -log p."""
    examples = [Example(e.ids, len(e.ids) - 1, e.fact_id) for e in made(6)]
    train(
        toy(),
        examples,
        recipe(batch_size=1, epochs=20, lr=1e-2, stop_probability=0.03, schedule="constant"),
        out=tmp_path / "t",
        adapter=tmp_path / "a",
        seed=2,
    )
    rows = [json.loads(x) for x in (tmp_path / "t" / "train.jsonl").read_text().splitlines()]
    epochs = epochs_of(tmp_path)
    assert 1 < len(epochs) < 20
    for row in epochs:
        worst = max(r["loss"] for r in rows if r["epoch"] == row["epoch"])
        assert row["least_probability"] == pytest.approx(2.718281828459045**-worst, rel=1e-5)
    assert [row["least_probability"] > 0.03 for row in epochs] == [False] * (len(epochs) - 1) + [
        True
    ]


def test_harm_is_the_divergence_written_out(tmp_path: Path) -> None:
    lm = toy(double=True)
    stack = Stack(lm.model, [job_spec(lm)], [0])
    with torch.no_grad():
        for B in stack.B.values():
            B.normal_(0, 0.2, generator=torch.Generator().manual_seed(1))
    with stack.attached():
        got = harm(lm, stack, 0, GUARD)
        parts = []
        for text in GUARD:
            found = []
            for which in (None, 0):
                with stack.using(which), torch.no_grad():
                    logits = lm.model(input_ids=torch.tensor([text.ids])).logits[0, :-1]
                    found.append(logits.softmax(-1))
            parts.append((found[0] * (found[0] / found[1]).log()).sum(-1))
    assert got == pytest.approx(float(torch.cat(parts).mean()), rel=1e-9)


def job_spec(lm: Any) -> Any:
    from lorepack.training.loop import _spec

    return _spec(lm, recipe())


def test_the_adapter_kept_is_the_last_within_the_budget(tmp_path: Path) -> None:
    constant = {"schedule": "constant", "lr": 3e-4, "dropout": 0.1}
    run(tmp_path / "free", guard=GUARD, **constant)
    harms = [row["harm"] for row in epochs_of(tmp_path / "free")]
    assert harms == sorted(harms)
    budget = (harms[1] + harms[2]) / 2
    done = run(tmp_path / "bound", guard=GUARD, harm_budget=budget, **constant)
    assert (done.stopped, done.kept_epoch, done.epochs, done.steps) == ("harm_budget", 2, 3, 9)
    assert [row["harm"] for row in epochs_of(tmp_path / "bound")] == harms[:3]
    run(tmp_path / "short", **{**constant, "epochs": 2})
    kept, want = weights(tmp_path / "bound"), weights(tmp_path / "short")
    assert all(torch.equal(kept[key], want[key]) for key in want)
    assert done.loss == epochs_of(tmp_path / "bound")[1]["loss"]


def test_where_no_epoch_is_within_the_budget_the_last_is_kept_and_said(tmp_path: Path) -> None:
    done = run(tmp_path, guard=GUARD, harm_budget=0.0)
    assert (done.stopped, done.kept_epoch, done.epochs) == ("harm_budget", 1, 1)
    assert "no epoch kept within harm_budget 0.0" in done.warnings[0]
    assert weights(tmp_path)


def test_a_kept_adapter_that_is_gone_is_trained_again(tmp_path: Path) -> None:
    options: dict[str, Any] = {**RULES["harm_budget"][0], "guard": GUARD, "dropout": 0.1}
    run(tmp_path / "whole", **options)

    def interrupt(done: int, total: int) -> None:
        if done == 7:  # the second epoch was within the budget, the third will not be
            raise Stop

    with pytest.raises(Stop):
        run(tmp_path / "again", interrupt, **options)
    (tmp_path / "again" / "a" / "adapter_model.safetensors").unlink()
    done = run(tmp_path / "again", **options)
    assert "adapter_model.safetensors was changed: training starts from step 0" in done.warnings[0]
    assert files_of(tmp_path / "again") == files_of(tmp_path / "whole")


def test_a_budget_without_a_guard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="harm_budget needs text to measure harm on"):
        run(tmp_path, harm_budget=1.0)
