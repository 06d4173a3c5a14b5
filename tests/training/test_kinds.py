"""LoRA+, one factor alone, averages and kinds: each is what its equation says, step by step."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn import functional as F

from lorepack import lora
from lorepack.errors import InputError
from lorepack.lora import AdapterSpec, Stack
from lorepack.training import Recipe, TrainResult, checkpoint, train
from lorepack.training.adamw import AdamW
from lorepack.training.batches import epoch_order
from lorepack.training.plan import Plan
from training.toy import IGNORED, ToyModel, made, padded, recipe, toy

SEED, COUNT = 5, 11


def run(folder: Path, lm: ToyModel, settings: Recipe) -> TrainResult:
    out, adapter = folder / "t", folder / "a"
    return train(lm, made(COUNT), settings, out=out, adapter=adapter, seed=SEED)


def losses(folder: Path) -> list[float]:
    return [
        json.loads(line)["loss"] for line in (folder / "t/train.jsonl").read_text().splitlines()
    ]


def peft_losses(settings: Recipe) -> tuple[list[float], int]:
    """The same job in PEFT, autograd and torch.optim, in fp64; and how many numbers it trains."""
    lm, examples = toy("llama", double=True), made(COUNT)
    spec = AdapterSpec.for_model(
        lm.model,
        rank=settings.rank,
        alpha=settings.alpha,
        roles=settings.targets,
        kind=settings.kind,
        init="kaiming_B" if settings.trains == "A" else "kaiming",
    )
    first = Stack(lm.model, [spec], [SEED]).factors(0)
    config = LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,  # type: ignore[arg-type]
        target_modules=list(spec.targets),
        use_dora=spec.kind == "dora",
    )
    model: Any = get_peft_model(lm.model, config)  # type: ignore[arg-type]
    groups: dict[str, list[torch.nn.Parameter]] = {"A": [], "B": []}
    for name, factors in first.items():
        layer = model.base_model.model.get_submodule(name)
        for side, half, factor in zip(
            ("A", "B", "B"),  # PEFT's LoRA+ moves magnitudes at the rate of B
            (layer.lora_A, layer.lora_B, layer.lora_magnitude_vector),
            factors,
            strict=False,
        ):
            weight = half["default"].weight
            weight.data = factor.clone()
            if half is not layer.lora_magnitude_vector and settings.trains not in ("both", side):
                weight.requires_grad_(False)
            else:
                groups[side].append(weight)
    rates = {"A": settings.lr, "B": settings.lr * settings.lora_plus}
    optimizer = torch.optim.AdamW(
        [{"params": groups[side], "lr": rates[side]} for side in groups],
        weight_decay=settings.weight_decay,
    )
    steps = -(-COUNT // settings.batch_size)
    total = steps * settings.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / total)
    found = []
    for step in range(total):
        order = epoch_order(COUNT, SEED, step // steps)
        start = step % steps * settings.batch_size
        batch = padded([examples[i] for i in order[start : start + settings.batch_size]], False)
        logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
        labels = batch.labels[:, 1:]
        each = F.cross_entropy(
            logits[:, :-1].mT, labels, ignore_index=IGNORED, reduction="none"
        )  # (B, T - 1)
        counts = (labels != IGNORED).sum(1)
        means = {"token": each.sum() / counts.sum(), "sample": (each.sum(1) / counts).mean()}
        loss = means[settings.loss_average]
        optimizer.zero_grad()
        loss.backward()
        both = groups["A"] + groups["B"]
        torch.nn.utils.clip_grad_norm_(both, settings.clip or float("inf"))
        optimizer.step()
        schedule.step()
        found.append(loss.item())
    return found, sum(weight.numel() for weight in groups["A"] + groups["B"])


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "dora"},
        {"kind": "dora", "lora_plus": 6.0, "targets": ["all-linear"], "weight_decay": 0.1},
        {"lora_plus": 16.0, "weight_decay": 0.1},
        {"lora_plus": 0.25, "clip": 0.2},
        {"trains": "A", "clip": 0.1},
        {"trains": "B", "clip": 0.1, "weight_decay": 0.2},
        {"trains": "A", "kind": "dora", "clip": 0.1},
        {"loss_average": "sample"},
        {"targets": ["lm_head", "attention"], "loss_average": "sample", "kind": "dora"},
    ],
    ids=lambda changes: " ".join(f"{key}={value}" for key, value in changes.items()),
)
def test_every_step_is_that_of_peft_and_torch_in_fp64(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    settings = recipe(epochs=4, **changes)
    done = run(tmp_path, toy(double=True), settings)
    want, parameters = peft_losses(settings)
    assert losses(tmp_path) == pytest.approx(want, rel=1e-9)
    assert done.parameters == parameters


@pytest.mark.parametrize("trains", ["A", "B"])
@pytest.mark.parametrize("init", ["kaiming", "pissa"])
def test_the_other_factor_stays_to_the_bit(trains: str, init: str, tmp_path: Path) -> None:
    lm = toy()
    settings = recipe(trains=trains, init=init, weight_decay=0.5)
    run(tmp_path, lm, settings)
    drawn: Any = "kaiming_B" if trains == "A" else "kaiming"
    spec = AdapterSpec.for_model(
        lm.model, rank=4, alpha=8, init="pissa" if init == "pissa" else drawn
    )
    first = Stack(lm.model, [spec], [SEED]).factors(0)
    for name, (lora_A, lora_B) in lora.load(tmp_path / "a", lm.model).factors.items():
        stays = torch.equal(lora_A[:4], first[name][0]), torch.equal(lora_B[:, :4], first[name][1])
        assert stays == (trains == "B", trains == "A")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kind": "dora"},
        {"init": "pissa"},
        {"trains": "A"},
        {"trains": "B"},
        {"lora_plus": 4.0},
        {"targets": ["lm_head"]},
    ],
    ids=str,
)
def test_every_kind_learns(changes: dict[str, Any], tmp_path: Path) -> None:
    run(tmp_path, toy(), recipe(batch_size=COUNT, epochs=12, lr=5e-3, **changes))
    assert losses(tmp_path)[-1] < losses(tmp_path)[0] - 0.1


def test_an_average_over_samples_weighs_short_answers_as_long_ones(tmp_path: Path) -> None:
    settings = recipe(batch_size=COUNT, epochs=1)
    for name in ("token", "sample"):
        run(tmp_path / name, toy(double=True), settings.override({"loss_average": name}))
    (token,), (sample,) = losses(tmp_path / "token"), losses(tmp_path / "sample")
    each = []
    for example in made(COUNT):
        batch = padded([example], False)
        logits = toy(double=True).model(input_ids=batch.input_ids).logits
        each.append(F.cross_entropy(logits[0, :-1], batch.labels[0, 1:], reduction="sum").item())
    counts = [len(e.ids) - e.answer_start for e in made(COUNT)]
    assert token == pytest.approx(sum(each) / sum(counts), rel=1e-9)
    mean = sum(loss / n for loss, n in zip(each, counts, strict=True)) / COUNT
    assert sample == pytest.approx(mean, rel=1e-9)
    assert abs(token - sample) > 1e-4


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ({"kind": "dorra"}, "kind: got 'dorra'"),
        ({"kind": "dora", "init": "pissa"}, "kind dora with init pissa: not supported"),
        ({"lora_plus": "0"}, "lora_plus: got '0', expected greater than 0"),
        ({"trains": "C"}, "trains: got 'C'"),
        ({"loss_average": "batch"}, "loss_average: got 'batch'"),
        ({"lora_pluss": "2"}, "did you mean lora_plus?"),
    ],
)
def test_settings_that_make_no_sense_are_told_in_one_line(
    sets: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        recipe().override(sets)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_an_adapter_began_as_moves_with_it_and_lies_in_checkpoints(tmp_path: Path) -> None:
    model = toy().model
    plain = AdapterSpec.for_model(model, rank=7, alpha=8, roles="all-linear")
    pissa = AdapterSpec.for_model(model, rank=3, alpha=8, init="pissa")
    dora = AdapterSpec.for_model(model, rank=2, alpha=8, kind="dora")

    def optimizer(*specs: AdapterSpec) -> AdamW:
        made = AdamW(Stack(model, specs, range(len(specs))), [0.0] * len(specs))
        for site in made.stack.sites.values():  # as another machine's decomposition might give
            for number, (_, slots, tensor) in enumerate(site.tensors()):
                for index, slot in slots.items():
                    rank = specs[index].rank_of(site.name)
                    tensor.data[slot, :rank, :rank] += 0.01 * (len(specs) + number)
        return made

    def held(found: AdamW, index: int) -> dict[str, torch.Tensor]:
        return {
            f"{name}.{side}": tensor[slots[index]].detach().clone()
            for name, site in found.stack.sites.items()
            for side, slots, tensor in site.tensors()
            if index in slots
        }

    old, new = optimizer(pissa, plain, dora), optimizer(dora, pissa)
    for index, sides in (
        (0, {"A", "B", "A0", "B0"}),
        (1, {"A", "B"}),
        (2, {"A", "B", "magnitude"}),
    ):
        assert {key.rsplit(".", 1)[1] for key in held(old, index)} == sides
    for index, source in ((0, 2), (1, 0)):
        new.take(index, old, source)
        ours, theirs = held(new, index), held(old, source)
        assert ours.keys() == theirs.keys()
        for key, tensor in ours.items():
            inside = tuple(slice(size) for size in tensor.shape)
            assert torch.equal(tensor, theirs[key][inside]), key
    checkpoint.save(tmp_path, "x", new, checkpoint.State(1, {}, 1, Plan(1, 1)))
    place = checkpoint.newest(tmp_path, "x")
    assert place is not None
    again = optimizer(dora, pissa)
    checkpoint.restore(place, again)
    for index in (0, 1):
        for key, tensor in held(again, index).items():
            assert torch.equal(tensor, held(new, index)[key]), key


def test_a_rank_above_the_width_is_named_whatever_the_beginning(tmp_path: Path) -> None:
    for changes in ({}, {"init": "pissa"}, {"kind": "dora"}):
        with pytest.raises(InputError, match=r"rank 33 is above the width of .*down_proj"):
            run(tmp_path, toy(), recipe(rank=33, **changes))
