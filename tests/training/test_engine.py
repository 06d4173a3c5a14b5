"""Many jobs in one stack: each as if it were alone, whoever shares it and whenever they come."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lorepack.errors import InputError, NumericError
from lorepack.training import Example
from lorepack.training.loop import Order, train, train_many
from lorepack.training.result import TrainResult
from tiny_models import FAMILIES
from training.toy import ToyModel, made, recipe, toy

VARIED: list[dict[str, Any]] = [
    {"rank": 4},
    {"rank": 1, "alpha": 2, "targets": ["all-linear"], "epochs": 3},
    {"rank": 7, "scaling": "rslora", "dropout": 0.3, "batch_size": 3, "loss": "full"},
    {"rank": 2, "layers": (1, 1), "lr": 3e-4, "schedule": "cosine", "warmup_steps": 2},
    {"rank": 3, "clip": 0.05, "weight_decay": 0.1, "targets": ["attention"]},
]
KINDS: list[dict[str, Any]] = [
    {"rank": 3, "kind": "dora", "lora_plus": 8.0, "dropout": 0.2, "targets": ["all-linear"]},
    {"rank": 4, "init": "pissa", "epochs": 3, "clip": 0.5},
    {"rank": 6, "trains": "A", "weight_decay": 0.1, "loss_average": "sample"},
    {"rank": 5, "kind": "dora", "trains": "B", "batch_size": 3, "epochs": 1},
    {"rank": 2, "init": "pissa", "dropout": 0.3, "scaling": "rslora", "targets": ["all-linear"]},
    {"rank": 2, "targets": ["lm_head", "attention"], "loss": "full", "loss_average": "sample"},
    {"rank": 4, "targets": ["lm_head"], "dropout": 0.5, "kind": "dora"},
]


def orders(folder: Path, count: int = 5, kinds: list[dict[str, Any]] = VARIED) -> list[Order]:
    return [
        Order(
            made(9 + 2 * number, seed=number),
            recipe(**kinds[number % len(kinds)]),
            folder / f"t{number}",
            folder / f"a{number}",
            seed=number,
        )
        for number in range(count)
    ]


def of_all_kinds(folder: Path) -> list[Order]:
    return orders(folder, 8, [*KINDS, VARIED[0]])


def together(lm: ToyModel, jobs: list[Order], folder: Path, **options: Any) -> list[Any]:
    return train_many(lm, jobs, checkpoints=folder / "checkpoint", **options)


def alone(lm: ToyModel, order: Order) -> TrainResult:
    return train(
        lm,
        order.examples,
        order.recipe,
        out=order.out,
        adapter=order.adapter,
        seed=order.seed,
        on_epoch=order.on_epoch,
        replay=order.replay,
        guard=order.guard,
    )


def losses(order: Order) -> list[float]:
    lines = (order.out / "train.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def weights(order: Order) -> dict[str, torch.Tensor]:
    return load_file(order.adapter / "adapter_model.safetensors")


def require_equal(got: Order, want: Order, near: float) -> None:
    assert losses(got) == pytest.approx(losses(want), rel=near)
    ours, theirs = weights(got), weights(want)
    assert ours.keys() == theirs.keys()
    for key, tensor in ours.items():
        scale = float(theirs[key].abs().max()) or 1.0
        assert float((tensor - theirs[key]).abs().max()) <= near * scale, key


@pytest.mark.parametrize("family", FAMILIES)
def test_each_job_ends_as_it_would_alone(family: str, tmp_path: Path) -> None:
    lm = toy(family, double=True)
    # Eager attention takes its softmax in fp32 whatever the model's dtype.
    near = 1e-4 if lm.model.config._attn_implementation == "eager" else 1e-9
    jobs, solo = orders(tmp_path / "many"), orders(tmp_path / "one")
    together(lm, jobs, tmp_path)
    for mine, own in zip(jobs, solo, strict=True):
        alone(lm, own)
        require_equal(mine, own, near)


@pytest.mark.parametrize("family", ["llama", "gpt2", "phi3"])
def test_each_kind_ends_as_it_would_alone(family: str, tmp_path: Path) -> None:
    lm = toy(family, double=True)
    jobs, solo = of_all_kinds(tmp_path / "many"), of_all_kinds(tmp_path / "one")
    # Jobs come and go, so that the stack is put together anew while others go on.
    together(lm, jobs, tmp_path, slots=6)
    for mine, own in zip(jobs, solo, strict=True):
        alone(lm, own)
        require_equal(mine, own, 1e-9)


def test_neither_company_nor_order_nor_slots_nor_passes_matter(tmp_path: Path) -> None:
    lm = toy(double=True)
    first, want = orders(tmp_path / "all"), tmp_path / "all"
    together(lm, first, want)
    for name, options in {"two": {"slots": 2}, "thin": {"tokens": 1}, "one": {"slots": 1}}.items():
        jobs = orders(tmp_path / name)[::-1]
        together(lm, jobs, tmp_path / name, **options)
        for mine, own in zip(jobs, first[::-1], strict=True):
            require_equal(mine, own, 1e-9)


def test_in_fp32_a_job_stays_within_rounding(tmp_path: Path) -> None:
    lm = toy()
    jobs, solo = orders(tmp_path / "many"), orders(tmp_path / "one")
    together(lm, jobs, tmp_path)
    for mine, own in zip(jobs, solo, strict=True):
        alone(lm, own)
        assert losses(mine) == pytest.approx(losses(own), rel=1e-5)


class Stop(BaseException):
    """Stands for Ctrl-C."""


def files_of(folder: Path) -> dict[str, bytes]:
    found = {p for p in folder.rglob("*") if p.is_file() and "checkpoint" not in p.parts}
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(found)}


@pytest.mark.parametrize("slots", [2, 5])
def test_interrupted_anywhere_they_end_with_the_same_bytes(slots: int, tmp_path: Path) -> None:
    def work(name: str, stop: int | None = None) -> None:
        seen: list[int] = []

        def progress(done: int, total: int) -> None:
            seen.append(done)
            if stop is not None and len(seen) > stop:
                raise Stop

        together(toy(), orders(tmp_path / name), tmp_path / name, slots=slots, progress=progress)

    work("whole")
    for stop in (0, 1, 4, 7, 9):
        name = f"stopped{stop}"
        with pytest.raises(Stop):
            work(name, stop)
        with contextlib.suppress(Stop):  # the end may come first
            work(name, 3)
        work(name)
        assert files_of(tmp_path / name) == files_of(tmp_path / "whole"), stop
        assert not (tmp_path / name / "checkpoint").exists()


def test_every_kind_interrupted_ends_with_the_same_bytes(tmp_path: Path) -> None:
    def work(name: str, stop: int | None = None) -> None:
        seen: list[int] = []

        def progress(done: int, total: int) -> None:
            seen.append(done)
            if stop is not None and len(seen) > stop:
                raise Stop

        together(toy(), of_all_kinds(tmp_path / name), tmp_path / name, slots=5, progress=progress)

    work("whole")
    for stop in (4, 9):
        with pytest.raises(Stop):
            work(f"stopped{stop}", stop)
        work(f"stopped{stop}")
        assert files_of(tmp_path / f"stopped{stop}") == files_of(tmp_path / "whole"), stop


def test_a_job_that_breaks_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    lm = toy(double=True)
    jobs, solo = orders(tmp_path / "many"), orders(tmp_path / "one")
    hot = jobs[1]
    jobs[1] = Order(hot.examples, recipe(lr=1e300, rank=1), hot.out, hot.adapter, seed=1)
    outcomes = together(lm, jobs, tmp_path)
    assert isinstance(outcomes[1], NumericError)
    assert "a1" in str(outcomes[1])
    for number in (0, 2, 3, 4):
        assert isinstance(outcomes[number], TrainResult)
        alone(lm, solo[number])
        require_equal(jobs[number], solo[number], 1e-9)
    assert not hot.adapter.exists()


def test_a_second_call_trains_nothing_again(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    first = together(toy(), orders(tmp_path), tmp_path)
    again = together(
        toy(), orders(tmp_path), tmp_path, progress=lambda *counts: seen.append(counts)
    )
    assert (first, seen) == (again, [])


def test_a_job_measures_its_own_adapter_and_may_stop_early(tmp_path: Path) -> None:
    seen: list[tuple[int, Any]] = []

    def measure(epoch: int, stack: Any) -> float:
        seen.append((epoch, stack._choice))
        return 1.0 if epoch == 2 else 0.0

    jobs = orders(tmp_path)
    early = recipe(epochs=5, early_stop_reliability=0.9)
    jobs[3] = Order(made(8), early, tmp_path / "t3", tmp_path / "a3", on_epoch=measure)
    outcomes = together(toy(), jobs, tmp_path)
    assert seen == [(1, 3), (2, 3)]
    assert outcomes[3].stopped_early
    assert not any(outcome.stopped_early for n, outcome in enumerate(outcomes) if n != 3)


def test_two_jobs_in_one_folder_are_refused(tmp_path: Path) -> None:
    jobs = orders(tmp_path, 2)
    twin = Order(made(4), recipe(), jobs[0].out, tmp_path / "other")
    with pytest.raises(InputError, match=r"two jobs write to .*t0"):
        together(toy(), [*jobs, twin], tmp_path)


def test_what_examples_share_is_computed_once(tmp_path: Path) -> None:
    lm, widths = toy(double=True), []  # in fp32 the first rows are computed two ways
    prefix = tuple(range(3, 43))
    examples = [Example(prefix + e.ids, 40 + e.answer_start, e.fact_id) for e in made(8)]
    handle = lm.model.get_input_embeddings().register_forward_hook(
        lambda module, args, out: widths.append(args[0].numel())
    )
    job = Order(examples, recipe(batch_size=8, epochs=1), tmp_path / "t", tmp_path / "a")
    together(lm, [job], tmp_path)
    handle.remove()
    assert widths == [40 + sum(len(e.ids) for e in made(8))]


@pytest.mark.slow
def test_two_hundred_steps_in_fp32_stay_those_of_each_alone(tmp_path: Path) -> None:
    def long(folder: Path) -> list[Order]:
        epochs = {3: 29}  # by batch size
        settings = [{**v, "epochs": epochs.get(v.get("batch_size", 4), 40)} for v in VARIED]
        return [
            Order(made(20, seed=n), recipe(**s), folder / f"t{n}", folder / f"a{n}", seed=n)
            for n, s in enumerate(settings)
        ]

    lm, many, solo = toy(), long(tmp_path / "many"), long(tmp_path / "one")
    together(lm, many, tmp_path)
    for mine, own in zip(many, solo, strict=True):
        alone(lm, own)
        assert len(losses(own)) >= 200
        require_equal(mine, own, 1e-5)
