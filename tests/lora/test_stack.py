"""The stack computes for every row what its adapter alone computes, and PEFT agrees in fp64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lora.made import fill, in_peft, stack_of, tokens
from lorepack.errors import InputError, MismatchError
from lorepack.lora import AdapterSpec, Stack, resolve
from lorepack.lora.dropout import keep_mask, mask_key
from tiny_models import FAMILIES, tiny


def mixed(model: nn.Module, dropout: float = 0.0) -> list[AdapterSpec]:
    """Three adapters that differ in rank, scale, targets and layers."""
    make = AdapterSpec.for_model
    return [
        make(model, rank=1, alpha=2, rslora=True, roles="mlp", dropout=dropout),
        make(model, rank=8, alpha=16, roles="all-linear"),
        make(model, rank=3, alpha=5, rslora=True, roles="attention", layers=(1, 1)),
    ]


class Masked(nn.Module):
    """The stack's dropout in the place of PEFT's."""

    def __init__(self, seed: int, step: int, name: str, drop: float) -> None:
        super().__init__()
        self.key, self.drop = mask_key(seed, step, name), drop

    def forward(self, x: Tensor) -> Tensor:
        rows = x.shape[0]
        keep = keep_mask(
            torch.full((rows,), self.key),
            torch.arange(rows),
            torch.full((rows,), self.drop, dtype=torch.float64),
            x.shape[1],
            x.shape[2],
        )
        return x * keep / (1 - self.drop)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_in_fp64_are_those_of_peft_and_autograd(family: str) -> None:
    model = tiny(family).double()
    spec = AdapterSpec.for_model(
        model, rank=4, alpha=6, rslora=True, roles="all-linear", dropout=0.25
    )
    stack = stack_of(model, [spec])
    peft = in_peft(model, stack, 0)
    ids = tokens(3, 24)
    stack.set_step(7)
    for name in spec.targets:
        layer: Any = peft.base_model.model.get_submodule(name)
        layer.lora_dropout["default"] = Masked(stack.seeds[0], 7, name, spec.dropout)

    with stack.attached(), stack.using(0, train=True):
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    want = peft(input_ids=ids, labels=ids, use_cache=False).loss
    want.backward()

    assert abs(loss.item() - want.item()) <= 1e-12 * abs(want.item())
    for name, site in stack.sites.items():
        layer = peft.base_model.model.get_submodule(name)
        for ours, theirs in ((site.A, layer.lora_A), (site.B, layer.lora_B)):
            assert ours.grad is not None
            grad = theirs["default"].weight.grad.T
            torch.testing.assert_close(ours.grad[0], grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "phi3"])
def test_rows_of_a_mixed_stack_equal_each_adapter_alone(family: str) -> None:
    model = tiny(family).double()
    specs = mixed(model, dropout=0.2)
    stack = stack_of(model, specs)
    ids, rows = tokens(6, 20), [0, 2, 1, -1, 0, 1]
    with stack.attached(), stack.using(rows, train=True):
        stack.set_step([4, 5, 6])
        together = model(input_ids=ids, labels=ids, use_cache=False)
        together.logits.square().mean().backward()
    weight = ids.numel() * together.logits.shape[-1]

    for index, spec in enumerate(specs):
        alone = Stack(model, [spec], [stack.seeds[index]])
        alone.load_factors(0, stack.factors(index))
        alone.set_step([4, 5, 6][index])
        mine = [row for row, adapter in enumerate(rows) if adapter == index]
        with alone.attached(), alone.using(0, train=True):
            logits = model(input_ids=ids[mine], use_cache=False).logits
            (logits.square().sum() / weight).backward()
        torch.testing.assert_close(together.logits[mine], logits, rtol=1e-10, atol=1e-10)
        for name, site in alone.sites.items():
            slot, rank = stack.sites[name].slots[index], spec.rank_of(name)
            got_a, got_b = stack.A[name].grad, stack.B[name].grad
            assert got_a is not None
            assert got_b is not None
            torch.testing.assert_close(got_a[slot, :, :rank], site.A.grad[0], rtol=1e-8, atol=1e-14)
            torch.testing.assert_close(got_b[slot, :rank], site.B.grad[0], rtol=1e-8, atol=1e-14)
            assert not got_a[slot, :, rank:].any(), "padding trains"
            assert not got_b[slot, rank:].any(), "padding trains"
    base = model(input_ids=ids[3:4], use_cache=False).logits
    torch.testing.assert_close(together.logits[3:4], base, rtol=1e-10, atol=1e-10)


@settings(max_examples=15, deadline=None)
@given(
    ranks=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    data=st.data(),
)
def test_any_ranks_in_any_rows(ranks: list[int], data: st.DataObject) -> None:
    model = tiny("qwen2").double()
    stack = stack_of(
        model, [AdapterSpec.for_model(model, rank=r, alpha=2 * r, roles="mlp") for r in ranks]
    )
    rows = data.draw(st.lists(st.integers(-1, len(ranks) - 1), min_size=1, max_size=6))
    ids = tokens(len(rows), 7)
    with stack.attached(), torch.no_grad():
        stack.use(rows)
        together = model(input_ids=ids, use_cache=False).logits
        for row, index in enumerate(rows):
            stack.use(None if index == -1 else index)
            alone = model(input_ids=ids[row : row + 1], use_cache=False).logits
            torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-10, atol=1e-10)


def test_a_neighbour_with_nan_harms_no_other_row() -> None:
    model = tiny("llama")
    stack = stack_of(model, mixed(model))
    for site in stack.sites.values():
        if 0 in site.slots:
            site.A.data[site.slots[0]] = float("nan")
    with stack.attached(), torch.no_grad():
        stack.use([0, 1, -1])
        logits = model(input_ids=tokens(3, 9), use_cache=False).logits
    assert logits[0].isnan().any()
    assert logits[1:].isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
def test_switched_off_or_detached_the_base_answers_bit_for_bit(family: str) -> None:
    model, ids = tiny(family), tokens(2, 12)
    with torch.no_grad():
        base = model(input_ids=ids).logits
        stack = stack_of(model, [AdapterSpec.for_model(model, rank=2, alpha=4, roles="mlp")])
        with stack.attached():
            stack.use(None)
            assert torch.equal(model(input_ids=ids).logits, base)
            stack.use([-1, -1])
            assert torch.equal(model(input_ids=ids).logits, base)
            stack.use(0)
            with stack.attached():  # an inner block neither doubles the hooks nor takes them off
                inner = model(input_ids=ids).logits
            outer = model(input_ids=ids).logits
            assert torch.equal(inner, outer)
            assert not torch.equal(outer, base)
        assert torch.equal(model(input_ids=ids).logits, base)


def test_using_puts_back_what_was_before() -> None:
    model, ids = tiny("llama"), tokens(2, 5)
    stack = stack_of(model, mixed(model))
    with stack.attached(), torch.no_grad():
        stack.use(1)
        one = model(input_ids=ids).logits
        with stack.using(0):
            assert not torch.equal(model(input_ids=ids).logits, one)
        assert torch.equal(model(input_ids=ids).logits, one)


def test_first_factors_come_from_the_own_seed_alone() -> None:
    model = tiny("llama")
    specs = mixed(model)
    alone = Stack(model, [specs[1]], [11])
    crowd = Stack(model, specs, [5, 11, 7])
    for name, (lora_A, lora_B) in alone.factors(0).items():
        assert torch.equal(lora_A, crowd.factors(1)[name][0])
        assert not lora_B.any()
        bound = lora_A.shape[1] ** -0.5
        assert lora_A.abs().max() <= bound
        assert lora_A.std() == pytest.approx(bound / 3**0.5, rel=0.2)  # uniform in ±bound
    other = Stack(model, [specs[1]], [12])
    name = specs[1].targets[0]
    assert not torch.equal(alone.factors(0)[name][0], other.factors(0)[name][0])


def test_dropout_depends_on_job_and_step_not_on_neighbours_or_padding() -> None:
    model = tiny("llama")
    spec = AdapterSpec.for_model(model, rank=2, alpha=4, roles="mlp", dropout=0.5)
    stack = Stack(model, [spec, spec], [1, 2])
    fill(stack)
    ids = tokens(4, 10)
    with stack.attached(), torch.no_grad():

        def run(rows: Any, ids: Tensor, step: int = 3, train: bool = True) -> Tensor:
            stack.set_step(step)
            with stack.using(rows, train=train):
                return model(input_ids=ids, use_cache=False).logits

        alone = run(0, ids[[0, 2]])
        torch.testing.assert_close(run([0, 1, 0, 1], ids)[[0, 2]], alone)
        torch.testing.assert_close(run(0, ids[[0, 2], :6]), alone[:, :6])
        assert not torch.allclose(run(0, ids[[0, 2]], step=4), alone)
        assert not torch.allclose(run(0, ids[[0, 2]], train=False), alone)
        assert torch.equal(run(0, ids[[0, 2]]), alone)


def test_bf16_base_keeps_fp32_factors_and_bf16_outputs() -> None:
    model = tiny("llama").bfloat16()
    stack = stack_of(model, [AdapterSpec.for_model(model, rank=4, alpha=8)])
    assert all(factor.dtype == torch.float32 for factor in stack.parameters())
    ids = tokens(2, 8)
    with stack.attached(), torch.no_grad():
        stack.use(0)
        one = model(input_ids=ids).logits
        with stack.using([0, -1]):
            rows = model(input_ids=ids).logits
    assert one.dtype == rows.dtype == torch.bfloat16
    torch.testing.assert_close(rows[0], one[0], rtol=0.05, atol=0.05)


def test_factors_round_trip_and_wrong_ones_are_refused() -> None:
    model = tiny("gpt2")
    specs = [AdapterSpec.for_model(model, rank=r, alpha=1, roles="mlp") for r in (2, 5)]
    stack = stack_of(model, specs)
    factors = stack.factors(0)
    again = Stack(model, specs, [0, 0])
    again.load_factors(0, factors)
    assert all(
        torch.equal(mine, theirs)
        for name, pair in again.factors(0).items()
        for mine, theirs in zip(pair, factors[name], strict=True)
    )
    with pytest.raises(InputError, match="factors of shape"):
        stack.load_factors(1, factors)
    name = next(iter(factors))
    with pytest.raises(InputError, match="differ in 1 modules"):
        stack.load_factors(0, {key: pair for key, pair in factors.items() if key != name})


def test_wrong_specs_and_rows_are_refused() -> None:
    model = tiny("llama")
    targets = tuple(resolve(model, "mlp"))
    for kind, message in (
        ({"rank": 0}, "rank 0"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"dropout": 1.0}, "dropout"),
        ({"targets": ()}, "at least one target"),
        ({"ranks": {"elsewhere": 2}}, "not a target"),
    ):
        values: dict[str, Any] = {"rank": 2, "alpha": 4.0, "rslora": False, "targets": targets}
        with pytest.raises(InputError, match=message):
            AdapterSpec(**{**values, **kind})
    with pytest.raises(InputError, match=r"rank 33 is above the width .* expected 1 to 32"):
        AdapterSpec.for_model(model, rank=33, alpha=1)
    with pytest.raises(MismatchError, match=r"no module model.layers.9"):
        Stack(model, [AdapterSpec(1, 1, False, ("model.layers.9.mlp.up_proj",))], [0])
    with pytest.raises(InputError, match="RMSNorm cannot carry"):
        Stack(model, [AdapterSpec(1, 1, False, ("model.norm",))], [0])
    stack = Stack(model, [AdapterSpec(1, 1, False, targets)], [0])
    with pytest.raises(InputError, match="one seed an adapter"):
        Stack(model, stack.specs, [])
    with pytest.raises(InputError, match="adapter 1 of a stack"):
        stack.use([0, 1])
    stack.use([0, -1, 0])
    with stack.attached(), pytest.raises(InputError, match="3 rows"):
        model(input_ids=tokens(2, 4))


def test_scales_are_those_of_lora_and_rslora() -> None:
    spec = AdapterSpec(4, 8, False, ("a", "b"), ranks={"b": 16}, alphas={"b": 2.0})
    assert (spec.scale, spec.scale_of("a"), spec.scale_of("b")) == (2.0, 2.0, 0.125)
    root = AdapterSpec(4, 8, True, ("a", "b"), ranks={"b": 16}, alphas={"b": 2.0})
    assert (root.scale, root.scale_of("b")) == (4.0, 0.5)
