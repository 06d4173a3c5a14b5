"""Jobs of every objective share one pass, and each is what its equation says."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lorepack.training import Example
from lorepack.training.loop import train_many
from tiny_models import FAMILIES
from training.steps import Step, order, taught
from training.test_engine import Stop, alone, files_of, require_equal
from training.toy import made, recipe, toy

REPLAY = {"replay_ratio": 0.75, "replay_loss": "full"}
KINDS: dict[str, dict[str, Any]] = {
    "answer": {},
    "full": {"loss": "full", **REPLAY, "replay_weight": 0.5, "replay_schedule": "falling"},
    "memft": {"loss": "memft", "memft_threshold": 0.01},
    "memft-sigmoid": {"loss": "memft-sigmoid", "memft_threshold": 0.02, "memft_slope": 1.5},
    "distill": {"loss": "distill"},
    "distill-both": {
        "loss": "distill",
        "distill_temperature": 2.0,
        "distill_kl_weight": 0.7,
        "distill_hidden_weight": 0.3,
        **REPLAY,
        "replay_loss": "kl",
        "replay_weight": 0.2,
    },
    "distill-kl": {"loss": "distill", "distill_hidden_weight": 0.0},
    "distill-hidden": {"loss": "distill", "distill_kl_weight": 0.0},
    "top-k": {"loss": "distill-topk", "distill_top_k": 5, "distill_temperature": 1.5},
    "bucket": {"loss": "distill-topk", "distill_top_k": 3, "distill_rest": "bucket"},
    "kl": {**REPLAY, "replay_loss": "answer", "kl_weight": 0.4},
}


def orders(folder: Path, kinds: Sequence[str] = tuple(KINDS), **changes: Any) -> list[Any]:
    """One job a kind; they differ in rank and data, and some share examples."""
    return [
        order(
            folder,
            kind,
            taught(7 + n % 3, seed=n // 2),
            recipe(rank=1 + n % 4, **{**KINDS[kind], **changes}),
            seed=n,
            replay=made(5, seed=40 + n % 2) if "replay_ratio" in KINDS[kind] else (),
        )
        for n, kind in enumerate(kinds)
    ]


def require_written_out(step: Step, near: float) -> None:
    (found, grads), (told, plain) = step.take(), step.plainly()
    for mine, theirs in zip(found, told, strict=True):
        assert mine.means == pytest.approx(theirs, rel=near)
    assert sum(float(grad.abs().sum()) > 0 for grad in plain) > len(plain) / 2
    for mine, theirs in zip(grads, plain, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=near, atol=near)


@pytest.mark.parametrize("kind", KINDS)
def test_each_objective_and_its_gradient_are_the_equation(kind: str, tmp_path: Path) -> None:
    require_written_out(Step(toy(double=True), orders(tmp_path, [kind])), 1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_in_every_family_and_all_at_once(family: str, tmp_path: Path) -> None:
    lm = toy(family, double=True)
    # Eager attention takes its softmax in fp32 whatever the model's dtype.
    near = 1e-5 if lm.model.config._attn_implementation == "eager" else 1e-9
    require_written_out(Step(lm, orders(tmp_path)), near)


def test_passes_of_any_size_give_the_same(tmp_path: Path) -> None:
    step = Step(toy(double=True), orders(tmp_path))
    wide, grads = step.take()
    thin, others = step.take(tokens=1)
    for mine, theirs in zip(thin, wide, strict=True):
        assert mine.means == pytest.approx(theirs.means, rel=1e-12)
    for mine, theirs in zip(others, grads, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


def test_each_job_ends_as_it_would_alone(tmp_path: Path) -> None:
    lm = toy(double=True)
    rules: list[dict[str, Any]] = [
        {"max_steps": 3},
        {"exposures": 1},
        {"max_tokens": 40},
        {"harm_budget": 1e-5},
        {"stop_probability": 1e-9},
    ]

    def jobs(folder: Path) -> list[Any]:
        return [
            replace(
                job,
                recipe=recipe(**{**job.recipe.model_dump(), **rules[n % len(rules)], "epochs": 3}),
                guard=made(3, seed=90) if n % len(rules) == 3 else (),
            )
            for n, job in enumerate(orders(folder, dropout=0.2))
        ]

    many, solo = jobs(tmp_path / "many"), jobs(tmp_path / "one")
    ends = train_many(lm, many, checkpoints=tmp_path / "checkpoint", slots=6)
    assert len({end.stopped for end in ends}) >= 4
    for mine, own, end in zip(many, solo, ends, strict=True):
        want = alone(lm, own)
        assert (end.stopped, end.steps, end.kept_epoch) == (
            want.stopped,
            want.steps,
            want.kept_epoch,
        )
        require_equal(mine, own, 1e-9)


def test_interrupted_anywhere_they_end_with_the_same_bytes(tmp_path: Path) -> None:
    def work(name: str, stop: int | None = None) -> None:
        seen: list[int] = []

        def progress(done: int, total: int) -> None:
            seen.append(done)
            if stop is not None and len(seen) > stop:
                raise Stop

        jobs = orders(tmp_path / name, ("kl", "distill-both", "top-k", "memft"), dropout=0.1)
        folder = tmp_path / name / "checkpoint"
        train_many(toy(), jobs, checkpoints=folder, slots=3, progress=progress)

    work("whole")
    for stop in (1, 4, 7):
        name = f"stopped{stop}"
        with pytest.raises(Stop):
            work(name, stop)
        with contextlib.suppress(Stop):
            work(name, 3)
        work(name)
        assert files_of(tmp_path / name) == files_of(tmp_path / "whole"), stop


def test_a_token_that_is_sure_no_longer_counts_in_memft(tmp_path: Path) -> None:
    """With a threshold below all probabilities nothing is left to learn: no loss, no gradient."""
    jobs = [order(tmp_path, "m", made(4), recipe(loss="memft", memft_threshold=1e-30))]
    (found,), grads = Step(toy(double=True), jobs).take()
    assert found.means == {"loss": 0.0}
    assert not any(grad.abs().max() for grad in grads)


def test_the_hidden_distance_of_a_teacher_that_reads_the_same_is_nothing(tmp_path: Path) -> None:
    same = [Example(e.ids, e.answer_start, e.fact_id, e.ids) for e in made(4)]
    step = Step(toy(double=True), [order(tmp_path, "d", same, recipe(loss="distill"))])
    with torch.no_grad():
        for parameter in step.stack.parameters():
            parameter.zero_()
    assert step.take()[0][0].means["loss"] == pytest.approx(0, abs=1e-12)
