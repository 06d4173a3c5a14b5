"""The base is asked once, for those who need it, and what it said is the same each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lorepack.errors import InputError
from lorepack.training import Example, train
from lorepack.training import teacher as module
from lorepack.training.batches import fit
from lorepack.training.loop import train_many
from training.steps import Step, order, taught
from training.test_engine import require_equal
from training.toy import made, recipe, toy


def read(step: Step, tokens: int = 4096) -> list[int]:
    """Tokens of each forward pass that a step takes without gradients."""
    sizes: list[int] = []
    handle = step.lm.model.get_input_embeddings().register_forward_hook(
        lambda module, args, out: None if torch.is_grad_enabled() else sizes.append(args[0].numel())
    )
    step.take(tokens)
    handle.remove()
    return sizes


def distilling(folder: Path, name: str, examples: Any, **changes: Any) -> Any:
    return order(folder, name, examples, recipe(**{"loss": "distill", "batch_size": 8, **changes}))


@pytest.mark.parametrize("held", [0, module.HELD])
def test_what_several_jobs_train_is_read_once(held: int, tmp_path: Path) -> None:
    examples = taught(8, passage=30)
    jobs = [distilling(tmp_path, f"{n}", examples, rank=n + 1) for n in range(3)]
    jobs.append(distilling(tmp_path, "top", examples, loss="distill-topk"))
    jobs.append(order(tmp_path, "plain", made(8, 3), recipe()))
    # The passage is there once; each example adds its own word and itself.
    want = 30 + sum(1 + len(e.ids) for e in examples)
    sizes = read(Step(toy(), jobs, held))
    # Held targets belong to one objective each.
    assert sizes == ([want] if held == 0 else [want, want])


def test_what_a_later_pass_needs_too_is_kept_for_it(tmp_path: Path) -> None:
    more = taught(9, passage=30)
    jobs = [distilling(tmp_path, "more", more, batch_size=9)]
    jobs += [distilling(tmp_path, f"{n}", more[:8]) for n in range(2)]
    want = 30 + sum(1 + len(e.ids) for e in more)
    assert read(Step(toy(), jobs, held=0), tokens=1) == [want]


def test_nobody_is_read_for_who_needs_no_teacher(tmp_path: Path) -> None:
    jobs = [order(tmp_path, k, taught(8), recipe(loss=k)) for k in ("answer", "full", "memft")]
    assert read(Step(toy(), jobs)) == []


def test_over_epochs_the_base_reads_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = toy(double=True)
    found = {}
    for name, held in (("held", module.HELD), ("not", 0)):
        monkeypatch.setattr(module.Teacher.__init__, "__defaults__", (held,))
        calls: list[int] = []
        handle = lm.model.get_input_embeddings().register_forward_hook(
            lambda module, args, out, calls=calls: (
                None if torch.is_grad_enabled() else calls.append(1)
            )
        )
        jobs = [
            distilling(tmp_path / name, loss, taught(9), loss=loss, epochs=3, batch_size=4)
            for loss in ("distill", "distill-topk")
        ]
        train_many(lm, jobs, checkpoints=tmp_path / name / "checkpoint", slots=8, tokens=4096)
        handle.remove()
        found[name] = jobs, len(calls)
    assert (found["held"][1], found["not"][1]) == (2, 9)
    for mine, theirs in zip(found["held"][0], found["not"][0], strict=True):
        require_equal(mine, theirs, 1e-9)


def run(folder: Path, examples: list[Example], **changes: Any) -> None:
    train(
        toy(),
        examples,
        recipe(loss="distill", **changes),
        out=folder / "t",
        adapter=folder / "a",
        seed=0,
    )


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ((), "fact f has no teacher_ids, which distillation needs"),
        ((9, 9, 4, 5, 7), "its 5 teacher_ids do not end with the 2 tokens of its answer"),
        ((5, 6), "behind at least one more"),
        ((999, 4, 5, 6), "token 999 in its teacher_ids"),
        (tuple([3] * 300 + [5, 6]), "302 tokens for its teacher, expected at most 256"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(
    teacher: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        run(tmp_path, [Example((3, 4, 5, 6), 2, "f", teacher)])


def test_cutting_takes_the_same_tokens_from_both() -> None:
    long = Example(tuple(range(3, 13)), 5, "f", (99, 98, *range(3, 13)))
    lost = Example(tuple(range(3, 13)), 5, "f", (*[99] * 9, *range(3, 13)))
    rules: dict[str, Any] = {"limit": 10, "whole": False, "vocabulary": 100, "teacher_limit": 9}
    done = fit([long, lost], rule="cut", **rules)
    (kept,) = done.examples
    assert (done.cut, done.dropped) == (1, 1)
    assert (kept.ids, kept.teacher_ids) == (long.ids[:7], long.teacher_ids[:9])
    assert fit([kept, long], rule="drop", **rules).dropped == 1


def test_an_example_keeps_its_whole_text_where_no_teacher_is_asked() -> None:
    far = Example((3, 4, 5, 6), 2, "f", tuple([3] * 5000))
    done = fit([far], limit=4, rule="error", whole=False, vocabulary=100)
    assert done.examples == (Example((3, 4, 5, 6), 2, "f"),)
