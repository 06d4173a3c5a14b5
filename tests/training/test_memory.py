"""Memory that runs out makes the work smaller, never wrong; what is free is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lorepack.errors import NoMemoryError, NumericError
from lorepack.training import memory, parking, passes
from lorepack.training.loop import Order, train_many
from lorepack.training.result import TrainResult
from training.steps import Step, taught
from training.test_engine import orders, require_equal
from training.toy import ToyModel, made, recipe, toy

SHORTAGES = {
    "cuda": torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "cpu": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    "python": MemoryError(),
}


def work(lm: ToyModel, jobs: list[Order], folder: Path, **options: Any) -> tuple[list[Any], str]:
    notes: list[str] = []
    place = folder / "checkpoint"
    options = {"slots": 8, "tokens": 4096, **options}
    outcomes = train_many(lm, jobs, checkpoints=place, note=notes.append, **options)
    return outcomes, "\n".join(notes)


def limit(patch: pytest.MonkeyPatch, refuses: Any, error: Exception, late: bool = False) -> None:
    """Let passes fail whose rows are refused; ``late``: when gradients are there already."""
    right = passes._run

    def run(lm: Any, stack: Any, members: Any, one: Any, *rest: Any) -> None:
        refused = refuses(passes._laid(lm, one)[0], members)
        if late or not refused:
            right(lm, stack, members, one, *rest)
        if refused:
            raise error

    patch.setattr(passes, "_run", run)


@pytest.mark.parametrize("average", ["token", "sample"])
@pytest.mark.parametrize(
    "loss", ["answer", "full", "memft", "memft-sigmoid", "distill", "distill-topk"]
)
def test_a_step_in_several_passes_is_the_same_step(loss: str, average: str, tmp_path: Path) -> None:
    examples = taught(6, passage=9)
    settings = recipe(loss=loss, loss_average=average, batch_size=6, epochs=1, replay_ratio=0.5)
    one = Order(examples, settings, tmp_path / "t", tmp_path / "a", replay=made(5, seed=9))
    whole, parts = (Step(toy(double=True), [one]) for _ in range(2))
    want, wanted = whole.take(10_000)
    got, gradients = parts.take(20, divide=True)
    assert got[0].tokens == want[0].tokens
    assert got[0].means == pytest.approx(want[0].means, rel=1e-9)
    for mine, theirs in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", SHORTAGES)
@pytest.mark.parametrize("late", [False, True])
def test_passes_shrink_and_the_results_stay(
    kind: str, late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = toy(double=True)
    calm, tight = orders(tmp_path / "calm"), orders(tmp_path / "tight")
    work(lm, calm, tmp_path / "calm")
    with monkeypatch.context() as patch:
        limit(patch, lambda rows, _: rows.input_ids.numel() > 60, SHORTAGES[kind], late)
        outcomes, notes = work(lm, tight, tmp_path / "tight")
    assert "memory ran out in a pass of" in notes
    for mine, own, outcome in zip(tight, calm, outcomes, strict=True):
        require_equal(mine, own, 1e-9)
        assert any("tokens a pass from there on" in each for each in outcome.warnings)


def test_a_step_is_cut_into_rows_with_the_same_loss_and_dropout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = toy(double=True)
    from lorepack.training import engine

    monkeypatch.setattr(engine, "can_share", lambda config, longest: False)  # a row an example
    calm, tight = orders(tmp_path / "calm"), orders(tmp_path / "tight")
    work(lm, calm, tmp_path / "calm")
    with monkeypatch.context() as patch:
        limit(patch, lambda rows, _: len(rows.owners) > 1, SHORTAGES["cuda"])
        _, notes = work(lm, tight, tmp_path / "tight")
    for mine, own in zip(tight, calm, strict=True):
        require_equal(mine, own, 1e-9)
    assert notes.count("\n") < 12, "it does not try for ever"


def test_what_does_not_fit_beside_others_is_put_off_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = toy(double=True)
    calm, tight = orders(tmp_path / "calm"), orders(tmp_path / "tight")
    work(lm, calm, tmp_path / "calm")

    def refuses(rows: Any, members: Any) -> bool:
        mine = [m for m in members if m.number == 2]
        return bool(mine) and mine[0].course.step >= 2 and len(members) > 2

    with monkeypatch.context() as patch:
        limit(patch, refuses, SHORTAGES["cuda"])
        outcomes, notes = work(lm, tight, tmp_path / "tight")
    assert "it is put off" in notes
    for mine, own, outcome in zip(tight, calm, outcomes, strict=True):
        assert isinstance(outcome, TrainResult)
        require_equal(mine, own, 1e-9)


def test_a_row_that_fits_nowhere_is_an_error_of_its_job_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = toy(double=True)
    calm, tight = orders(tmp_path / "calm"), orders(tmp_path / "tight")
    work(lm, calm, tmp_path / "calm")

    def refuses(rows: Any, members: Any) -> bool:
        return any(members[slot].number == 2 for slot in rows.owners)

    with monkeypatch.context() as patch:
        limit(patch, refuses, SHORTAGES["cpu"])
        outcomes, _ = work(lm, tight, tmp_path / "tight")
    assert isinstance(outcomes[2], NoMemoryError)
    assert "a2: step 1 does not fit in memory" in str(outcomes[2])
    assert "lower max_length" in str(outcomes[2])
    again, _ = work(lm, tight, tmp_path / "tight")  # memory was freed: only it is left
    assert all(isinstance(outcome, TrainResult) for outcome in again)
    for mine, own in zip(tight, calm, strict=True):
        require_equal(mine, own, 1e-9)


def test_adapters_that_do_not_fit_at_once_come_in_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = toy(double=True)
    calm, tight = orders(tmp_path / "calm"), orders(tmp_path / "tight")
    work(lm, calm, tmp_path / "calm")
    right = parking.optimizer_of

    def small(model: Any, courses: Any, *rest: Any) -> Any:
        if len(courses) > 2:
            raise SHORTAGES["cuda"]
        return right(model, courses, *rest)

    from lorepack.training import engine

    with monkeypatch.context() as patch:
        patch.setattr(engine, "optimizer_of", small)
        _, notes = work(lm, tight, tmp_path / "tight")
    assert notes == "memory ran out with 5 adapters: 2 now"
    for mine, own in zip(tight, calm, strict=True):
        require_equal(mine, own, 1e-9)


def test_other_errors_are_not_taken_for_a_shortage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, lambda rows, _: True, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        work(toy(), orders(tmp_path), tmp_path)
    assert not memory.is_shortage(NumericError("out of range"))


def test_a_shortage_in_the_update_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lorepack.training.adamw import AdamW

    lm, jobs = toy(), [Order(made(24), recipe(), tmp_path / "t", tmp_path / "a")]
    right = AdamW.step

    def short(self: Any, lrs: Any) -> None:
        if self.counts == [7]:
            raise SHORTAGES["cuda"]
        right(self, lrs)

    with monkeypatch.context() as patch:
        patch.setattr(AdamW, "step", short)
        with pytest.raises(NoMemoryError, match="outside a forward pass, with 1 adapters"):
            work(lm, jobs, tmp_path)
    begun: list[int] = []
    work(lm, jobs, tmp_path, progress=lambda done, total: begun.append(done))
    assert begun[0] == 6


GROUP = "5:cpu,cpuacct:/x\n4:memory:/box/part\n0::/pod/main\n"


def written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_tightest_control_group_decides(tmp_path: Path) -> None:
    own, root = tmp_path / "cgroup", tmp_path / "fs"
    own.write_text(GROUP)
    written(root / "pod/main/memory.max", "max\n")
    written(root / "pod/main/memory.current", "10\n")
    written(root / "pod/main/memory.stat", "anon 5\ninactive_file 5\n")
    written(root / "pod/memory.max", "1000\n")
    written(root / "pod/memory.current", "700\n")
    written(root / "pod/memory.stat", "anon 500\ninactive_file 200\n")
    written(root / "memory/memory.limit_in_bytes", "900\n")
    written(root / "memory/memory.usage_in_bytes", "800\n")
    written(root / "memory/memory.stat", "inactive_file 1\ntotal_inactive_file 50\n")
    assert sorted(memory._left_to_groups(own, root)) == [150, 500]
    assert list(memory._left_to_groups(tmp_path / "none", root)) == []


def test_the_free_memory_of_this_machine_is_told() -> None:
    free = memory.free_bytes("cpu")
    assert free is not None
    total = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    assert 0 < free <= total


def test_where_the_system_tells_nothing_nothing_is_made_up(tmp_path: Path) -> None:
    assert memory._available(tmp_path / "none") is None
    written(tmp_path / "meminfo", "MemTotal: 100 kB\nMemAvailable:   40 kB\n")
    assert memory._available(tmp_path / "meminfo") == 40 * 1024
