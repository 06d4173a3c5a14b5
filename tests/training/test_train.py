"""A job trains as PEFT would, tells what it did, and stops with a name where numbers break."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from lorepack import lora
from lorepack.errors import InputError, NumericError, WriteError
from lorepack.lora import Stack
from lorepack.training import Recipe, train
from lorepack.training.batches import epoch_order
from training.toy import IGNORED, ToyModel, made, padded, recipe, toy


def run(folder: Path, lm: ToyModel, settings: Recipe, count: int = 12, **options: Any):  # type: ignore[no-untyped-def]
    examples = options.pop("examples", made(count))
    return train(lm, examples, settings, out=folder / "t", adapter=folder / "a", seed=5, **options)


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "t/train.jsonl").read_text().splitlines()]


def peft_losses(settings: Recipe, family: str, count: int, double: bool) -> list[float]:
    """The same job in PEFT and torch.optim: same first factors, data and order."""
    lm, examples = toy(family, double), made(count)
    targets = tuple(lora.resolve(lm.model, settings.targets))
    spec = lora.AdapterSpec(settings.rank, settings.alpha, settings.scaling == "rslora", targets)
    first = Stack(lm.model, [spec], [5]).factors(0)
    config = LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,  # type: ignore[arg-type]
        use_rslora=spec.rslora,
        target_modules=list(targets),
    )
    model = get_peft_model(lm.model, config)  # type: ignore[arg-type]
    for name, (lora_A, _) in first.items():
        layer: Any = model.base_model.model.get_submodule(name)
        layer.lora_A["default"].weight.data = lora_A
        layer.lora_B["default"].weight.data.zero_()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=settings.lr, weight_decay=settings.weight_decay)
    steps = -(-count // settings.batch_size)
    total = steps * settings.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / total)
    losses = []
    for epoch in range(settings.epochs):
        order = epoch_order(count, 5, epoch)
        for start in range(0, count, settings.batch_size):
            chosen = [examples[i] for i in order[start : start + settings.batch_size]]
            batch = padded(chosen, settings.loss == "full")
            logits = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1), batch.labels[:, 1:].flatten(), ignore_index=IGNORED
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, settings.clip or float("inf"))
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("llama", {}),
        ("gemma2", {"loss": "full", "scaling": "rslora", "clip": 0.3}),
        ("gpt2", {"targets": ["all-linear"], "weight_decay": 0.1}),
    ],
)
def test_twenty_steps_equal_those_of_peft(
    family: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    for double, tolerance in ((False, 1e-5), (True, 1e-9)):
        settings = recipe(epochs=5, batch_size=4, **changes)
        folder = tmp_path / str(double)
        run(folder, toy(family, double), settings, count=15)
        ours = [row["loss"] for row in log(folder)]
        theirs = peft_losses(settings, family, 15, double)
        assert len(ours) == len(theirs) == 20
        assert ours == pytest.approx(theirs, rel=tolerance)
        assert sum(ours[-4:]) < sum(ours[:4])


def test_the_result_and_the_files_say_what_was_done(tmp_path: Path) -> None:
    lm, seen = toy(), []
    settings = recipe(epochs=3, schedule="cosine", max_length=17, overlong="drop")
    examples = [*made(10), *(e for e in made(60) if len(e.ids) == 18)]
    kept = sum(len(e.ids) <= 17 for e in examples)
    done = run(
        tmp_path, lm, settings, examples=examples, progress=lambda *counts: seen.append(counts)
    )
    steps = -(-kept // 4)
    assert (done.examples, done.dropped, done.cut) == (kept, len(examples) - kept, 0)
    assert (done.steps, done.epochs, done.stopped_early) == (3 * steps, 3, False)
    assert done.warnings == [f"{done.dropped} training examples were too long and left out"]
    rows = log(tmp_path)
    assert [row["step"] for row in rows] == list(range(1, 3 * steps + 1))
    assert [row["epoch"] for row in rows] == [e for e in (1, 2, 3) for _ in range(steps)]
    assert sum(row["tokens"] for row in rows) == done.tokens
    epochs = json.loads((tmp_path / "t/epochs.json").read_text())["epochs"]
    last = [row for row in rows if row["epoch"] == 3]
    mean = sum(r["loss"] * r["tokens"] for r in last) / sum(r["tokens"] for r in last)
    assert epochs[-1] == {"epoch": 3, "loss": done.loss, "reliability": None, "step": 3 * steps}
    assert done.loss == pytest.approx(mean)
    assert seen == [(step, 3 * steps) for step in range(3 * steps + 1)]
    assert not (tmp_path / "t/checkpoint").exists()
    loaded = lora.load(tmp_path / "a", lm.model, fingerprint=lm.fingerprint)
    assert loaded.spec.rank == 4
    assert done.parameters == sum(a.numel() + b.numel() for a, b in loaded.factors.values())


def test_equal_jobs_give_equal_bytes_and_seeds_and_neighbours_matter_not(tmp_path: Path) -> None:
    settings = recipe(dropout=0.3)
    for name in ("one", "two"):
        torch.manual_seed(hash(name) % 2**31)  # the global generator must not matter
        run(tmp_path / name, toy(), settings)
    for name in (
        "a/adapter_model.safetensors",
        "a/lorepack.json",
        "t/train.jsonl",
        "t/result.json",
    ):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    train(toy(), made(12), settings, out=tmp_path / "t", adapter=tmp_path / "a", seed=6)
    assert (tmp_path / "a/adapter_model.safetensors").read_bytes() != (
        tmp_path / "one/a/adapter_model.safetensors"
    ).read_bytes()


def test_dropout_draws_anew_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[tuple[int, ...]] = []
    right = Stack._drop

    def spy(self: Stack, *args: Any) -> torch.Tensor:
        keys.append(self._steps)
        return right(self, *args)

    monkeypatch.setattr(Stack, "_drop", spy)
    run(tmp_path, toy(), recipe(dropout=0.3))
    assert sorted(set(keys)) == [(step,) for step in range(6)]


def test_a_finished_job_is_not_done_again(tmp_path: Path) -> None:
    first = run(tmp_path, toy(), recipe())
    steps: list[int] = []
    again = run(tmp_path, toy(), recipe(), progress=lambda done, total: steps.append(done))
    assert again.to_json() == first.to_json()
    assert steps == []
    run(tmp_path, toy(), recipe(lr=2e-3), progress=lambda done, total: steps.append(done))
    assert steps[0] == 0
    (tmp_path / "a/adapter_model.safetensors").write_bytes(b"broken")
    steps.clear()
    run(tmp_path, toy(), recipe(lr=2e-3), progress=lambda done, total: steps.append(done))
    assert steps[0] == 0, "a broken adapter is made again"


def test_each_epoch_is_measured_with_the_adapter_on(tmp_path: Path) -> None:
    lm, ids = toy(), torch.tensor([made(1)[0].ids])
    base = lm.model(input_ids=ids).logits
    logits = []

    def measure(epoch: int, stack: Stack) -> float:
        assert not torch.is_grad_enabled()
        logits.append(lm.model(input_ids=ids).logits)
        assert torch.equal(lm.model(input_ids=ids).logits, logits[-1]), "dropout is on"
        return epoch / 10

    done = run(tmp_path, lm, recipe(epochs=3, dropout=0.5), on_epoch=measure)
    assert len(logits) == 3
    assert all(not torch.equal(base, each) for each in logits)
    assert torch.equal(lm.model(input_ids=ids).logits, base), "the stack is taken off at the end"
    epochs = json.loads((tmp_path / "t/epochs.json").read_text())["epochs"]
    assert [e["reliability"] for e in epochs] == [0.1, 0.2, 0.3]
    assert done.reliability == 0.3
    measured = log(tmp_path)
    run(tmp_path / "plain", toy(), recipe(epochs=3, dropout=0.5))
    assert log(tmp_path / "plain") == measured, "measuring changes training"


def test_training_stops_at_the_reliability_asked_for(tmp_path: Path) -> None:
    settings = recipe(epochs=8, early_stop_reliability=0.5)
    done = run(tmp_path, toy(), settings, on_epoch=lambda epoch, stack: 0.2 * epoch)
    assert (done.epochs, done.steps, done.stopped_early) == (3, 9, True)
    assert done.reliability == pytest.approx(0.6)
    with pytest.raises(InputError, match="needs a measurement"):
        run(tmp_path / "blind", toy(), settings)


def test_nan_stops_the_job_by_name_and_keeps_its_last_good_step(tmp_path: Path) -> None:
    lm, calls = toy(), []

    def poison(done: int, total: int) -> None:
        calls.append(done)
        if done == 4:
            lm.model.get_input_embeddings().weight.data.fill_(float("nan"))

    with pytest.raises(NumericError, match=r"a: loss is nan at step 5 of 6; lower lr"):
        run(tmp_path, lm, recipe(), progress=poison)
    assert [place.name for place in (tmp_path / "t/parked").iterdir()] == ["step-00000004"]
    assert not (tmp_path / "a").exists()
    calls.clear()
    run(tmp_path, toy(), recipe(), progress=lambda done, total: calls.append(done))
    assert calls[:2] == [0, 5], "with sound weights it goes on from there"
    assert not (tmp_path / "t/parked").exists()


def test_infinite_gradients_are_named(tmp_path: Path) -> None:
    lm = toy()

    class Wild(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
            return grad * float("inf")

    lm.model.model.norm.register_forward_hook(lambda module, args, out: Wild.apply(out))
    with pytest.raises(NumericError, match=r"gradient norm is (nan|inf) at step 1 of 6"):
        run(tmp_path, lm, recipe())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"examples": []}, "no training examples"),
        ({"settings": recipe(rank=40)}, "rank 40 is above the width"),
        ({"settings": recipe(targets=["down_prj"])}, "did you mean down_proj"),
        ({"settings": recipe(layers=(0, 9))}, "the model has layers 0 to 1"),
        ({"settings": recipe(max_length=8)}, "expected at most 8"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_it_begins(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    settings = options.pop("settings", recipe())
    with pytest.raises(InputError, match=message):
        run(tmp_path, toy(), settings, **options)
    assert not list(tmp_path.iterdir())


def test_the_context_of_the_model_bounds_the_examples(tmp_path: Path) -> None:
    lm = ToyModel(toy().model, context=10)
    with pytest.raises(InputError, match="expected at most 10"):
        run(tmp_path, lm, recipe())


def test_an_unwritable_place_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("a file stands where the folder should be")
    with pytest.raises(WriteError, match="t"):
        run(tmp_path, toy(), recipe())


def test_a_full_disk_is_one_clear_error_and_the_job_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lorepack.training import checkpoint

    def full(tensors: Any, path: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(WriteError, match="No space left on device"):
            run(tmp_path, toy(), recipe())
    again = run(tmp_path, toy(), recipe())
    assert again.steps == 6
