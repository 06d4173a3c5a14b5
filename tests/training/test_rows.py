"""A token computes in a shared row what it computes alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lorepack.training import Example
from lorepack.training.objectives.next_token import surprise
from lorepack.training.outputs import outputs_at
from lorepack.training.rows import can_share, lay_out, split
from tiny_models import FAMILIES, tiny
from training.toy import made

Steps = list[list[Example]]


def with_prefix(examples: list[Example], prefix: tuple[int, ...]) -> list[Example]:
    size = len(prefix)
    return [Example(prefix + e.ids, size + e.answer_start, e.fact_id) for e in examples]


def losses(model: torch.nn.Module, steps: Steps, loss: str, share: bool) -> torch.Tensor:
    whole = loss == "full"
    rows = lay_out(
        [(job, whole, row) for job, step in enumerate(steps) for row in split(step, share)], 0
    )
    with torch.no_grad():
        return surprise(outputs_at(model, rows).logits, rows.targets)


@pytest.mark.parametrize("loss", ["answer", "full"])
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_in_shared_rows_are_those_of_each_example_alone(family: str, loss: str) -> None:
    model = tiny(family).double()
    shared = [with_prefix(made(5), (7, 8, 9)), with_prefix(made(2, 1), (7, 8))]
    steps = [[e for e in step if len(e.ids) <= 16] for step in [*shared, made(3, 2)]]
    assert can_share(model.config, 16)
    # Eager attention takes its softmax in fp32 whatever the model's dtype.
    near = 1e-5 if model.config._attn_implementation == "eager" else 1e-9
    got, want = losses(model, steps, loss, True), losses(model, steps, loss, False)
    torch.testing.assert_close(got, want, rtol=near, atol=near)


tokens = st.lists(st.integers(3, 6), min_size=2, max_size=7)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(tokens, min_size=1, max_size=4), min_size=1, max_size=3))
def test_whatever_examples_begin_with_losses_stay(texts: list[list[list[int]]]) -> None:
    model = tiny("llama").double()
    steps = [[Example(tuple(ids), len(ids) - 1, "f") for ids in step] for step in texts]
    got, want = losses(model, steps, "full", True), losses(model, steps, "full", False)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_a_window_shorter_than_an_example_forbids_sharing() -> None:
    assert can_share(tiny("mistral").config, 16)
    assert not can_share(tiny("mistral").config, 17)
    assert not can_share(tiny("gemma2").config, 17)
    assert can_share(tiny("llama").config, 17)


def test_the_prefix_stands_once_in_a_row() -> None:
    step = with_prefix(made(6), tuple(range(3, 13)))
    rows = lay_out([(0, False, row) for row in split(step, True)], 0)
    assert rows.input_ids.shape == (1, 10 + sum(len(e.ids) for e in made(6)))
    assert rows.targets.tolist() == [t for e in step for t in e.ids[e.answer_start :]]


@given(count=st.integers(1, 30), most=st.integers(8, 100), share=st.booleans())
def test_rows_hold_every_example_once_and_in_order(count: int, most: int, share: bool) -> None:
    step = with_prefix(made(count), (7, 8, 9))
    rows = split(step, share, most)
    assert [e for row in rows for e in row] == step
    for row in rows:
        laid = lay_out([(0, False, row)], 0)
        longest = max(len(e.ids) for e in row)
        assert len(row) == 1 or laid.input_ids.shape[1] < most + longest
