"""How many fit at once: counted and measured, kept for the resume, told in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from lorepack.errors import Stopped
from lorepack.training import passes, planning
from lorepack.training.course import Course
from lorepack.training.loop import Order, _job, train_many
from lorepack.training.parking import optimizer_of
from lorepack.training.passes import CPU_TOKENS, Member, backward
from lorepack.training.plan import Plan
from lorepack.training.teacher import Teacher
from training.toy import made, recipe, toy


def orders(folder: Path, count: int = 6, **changes: Any) -> list[Order]:
    return [
        Order(
            made(12, seed=number),
            recipe(rank=4 + number, **changes),
            folder / f"t{number}",
            folder / f"a{number}",
            seed=number,
        )
        for number in range(count)
    ]


def courses(lm: Any, folder: Path, **changes: Any) -> list[Course]:
    return [Course(_job(lm, o), o.out, o.adapter) for o in orders(folder, **changes)]


def free(patch: pytest.MonkeyPatch, amount: int | None) -> None:
    patch.setattr(planning, "free_bytes", lambda device: amount)


def test_adapters_are_counted_with_the_padding_to_the_largest_rank(tmp_path: Path) -> None:
    lm = toy()
    jobs = courses(lm, tmp_path)
    stack = optimizer_of(lm.model, jobs).stack
    held = sum(tensor.numel() * tensor.element_size() for tensor in stack.parameters())
    assert sum(planning.adapter_bytes(lm, jobs)) == held


def peak_of(lm: Any, course: Course) -> int:
    """Most bytes that a step allocates on the processor beyond what was there, gradients aside."""
    optimizer = optimizer_of(lm.model, [course])
    members = [Member(0, course, share=True)]
    teacher = Teacher(lm, [course.job], 0)
    with optimizer.stack.attached():
        backward(lm, optimizer.stack, members, teacher, 4096)  # gradients are there from now on
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            backward(lm, optimizer.stack, members, teacher, 4096)
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    assert events
    now = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most


# Eager attention makes scores of all heads several times over on its way: in a model of two
# layers they weigh a third of what is kept, in a real one next to nothing.
@pytest.mark.parametrize(("family", "least"), [("llama", 0.95), ("gpt2", 0.95), ("gemma2", 0.6)])
@pytest.mark.parametrize("loss", ["answer", "full"])
def test_the_measure_of_a_token_is_near_what_a_step_takes(
    family: str, least: float, loss: str, tmp_path: Path
) -> None:
    lm = toy(family)
    (course,) = courses(lm, tmp_path, count=1, loss=loss, batch_size=12, dropout=0.1)
    expected = planning.token_bytes(lm, [course]) * course.step_tokens()
    measured = peak_of(lm, course)
    assert least * measured < expected < 1.5 * measured


def test_the_probe_leaves_no_trace(tmp_path: Path) -> None:
    lm = toy()
    jobs = courses(lm, tmp_path)
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    planning.token_bytes(lm, jobs)
    assert all(torch.equal(before[name], t) for name, t in lm.model.state_dict().items())
    assert not any(parameter.grad is not None for parameter in lm.model.parameters())
    assert [course.step for course in jobs] == [0] * 6
    assert not list(tmp_path.iterdir())


def test_more_memory_never_means_less_and_the_budget_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = toy()
    jobs = courses(lm, tmp_path)
    token = planning.token_bytes(lm, jobs)
    each = planning.COPIES * max(planning.adapter_bytes(lm, jobs))
    least = planning.choose(lm, jobs, None, None)[0]
    assert least == Plan(6, CPU_TOKENS, needs=least.needs), "here, all fit"
    found = []
    step = max(job.step_tokens() for job in jobs)
    for amount in [int((each + step * token) * share) for share in (0.1, 0.7, 2, 3, 5, 9, 30)]:
        free(monkeypatch, amount)
        plan, told = planning.choose(lm, jobs, None, None)
        assert told is not None
        assert told.startswith(f"{plan.slots} of 6 adapters at once, {plan.tokens:,} tokens a pass")
        if plan.slots > 1:
            assert plan.needs <= planning.USABLE * amount
        found.append(plan)
    assert [p.slots for p in found] == sorted(p.slots for p in found)
    assert found[0].slots == 1
    assert found[0].tokens < step, "a pass of its own for every job, and no more promised"
    assert 1 < found[3].slots < 6
    assert found[-1].slots == 6
    assert all((plan.tokens & (plan.tokens - 1)) == 0 for plan in found), "powers of two"


def test_what_is_asked_for_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = toy()
    jobs = courses(lm, tmp_path)
    free(monkeypatch, 1)
    assert planning.choose(lm, jobs, 5, 300) == (Plan(5, 300), None)
    assert planning.choose(lm, jobs, 5, None)[0].slots == 5
    assert planning.choose(lm, jobs, None, 300)[0].tokens == 300
    assert planning.choose(lm, jobs[:1], None, None) == (Plan(1, CPU_TOKENS), None), (
        "nothing to choose"
    )
    free(monkeypatch, None)
    plan, told = planning.choose(lm, jobs, None, None)
    assert (plan.slots, plan.tokens) == (6, CPU_TOKENS)
    assert told is not None
    assert told.endswith("does not tell how much memory is free")


def test_a_probe_that_does_not_fit_begins_with_single_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> torch.Tensor:
        raise MemoryError

    lm = toy()
    jobs = courses(lm, tmp_path)
    monkeypatch.setattr(passes, "_run", full)
    plan, told = planning.choose(lm, jobs, None, None)
    assert plan == Plan(1, 1, divide=True)
    assert told is not None
    assert "cut to single rows" in told


def work(folder: Path, **options: Any) -> list[str]:
    notes: list[str] = []
    place = folder / "checkpoint"
    train_many(toy(), orders(folder), checkpoints=place, note=notes.append, **options)
    return notes


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and "checkpoint" not in p.parts
    }


def test_the_chosen_numbers_are_told_and_kept_for_the_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = toy()
    jobs = courses(lm, tmp_path / "none")
    token = planning.token_bytes(lm, jobs)
    each = planning.COPIES * max(planning.adapter_bytes(lm, jobs))
    tight = int((3 * each + 3 * 60 * token) / planning.USABLE)
    free(monkeypatch, tight)
    (told,) = work(tmp_path / "whole")
    torn = tmp_path / "torn"
    left = iter([False] * 3 + [True])
    with pytest.raises(Stopped):
        work(torn, stop=lambda: next(left))
    (place,) = (torn / "checkpoint").iterdir()
    plan = json.loads((place / "state.json").read_text())["plan"]
    assert 1 < plan["slots"] < 6
    assert told.startswith(f"{plan['slots']} of 6 adapters at once, {plan['tokens']:,} tokens")
    free(monkeypatch, 2**60)  # now all would fit
    assert work(torn) == []
    assert bytes_of(torn) == bytes_of(tmp_path / "whole")


def test_a_plan_that_no_longer_fits_or_is_changed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(name: str) -> Path:
        left = iter([False] * 3 + [True])
        with pytest.raises(Stopped):
            work(tmp_path / name, stop=lambda: next(left))
        return tmp_path / name

    free(monkeypatch, 2**40)
    folder = stopped("full")
    free(monkeypatch, 1)
    (told,) = work(folder)
    assert "goes on with 6 adapters at once, 2,048 tokens a pass, as it began, though" in told
    free(monkeypatch, 2**40)
    (told,) = work(stopped("fewer"), slots=2)
    assert told == (
        "goes on with 2 adapters at once, 2,048 tokens a pass, not 6 and 2,048 as it began: "
        "results may differ in rounding"
    )
    assert not (tmp_path / "fewer/checkpoint").exists()
    steps = [(tmp_path / f"fewer/t{n}/train.jsonl").read_text().count("\n") for n in range(6)]
    assert steps == [6] * 6, "those put off went on from where they were"
