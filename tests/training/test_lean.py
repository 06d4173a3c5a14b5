"""The lean way computes what the model's own forward pass does, gradients included."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from lorepack.lora import AdapterSpec, Stack
from lorepack.training import Example, lean
from lorepack.training.cross_entropy import cross_entropy
from lorepack.training.lean import gate, picked
from lorepack.training.lean.attention import Attention
from lorepack.training.lean.norm import NormBeside
from lorepack.training.outputs import outputs_at
from lorepack.training.rows import Rows, lay_out, split
from tiny_models import tiny
from training.toy import made

LAYOUTS = ("llama", "mistral", "qwen2", "qwen3")
RANKS = (4, 1, 7)


def stack_of(model: nn.Module, roles: tuple[str, ...] = ("all-linear",)) -> Stack:
    """Three adapters of different rank, none of them at zero."""
    specs = [AdapterSpec.for_model(model, rank=r, alpha=2 * r, roles=roles) for r in RANKS]
    stack = Stack(model, specs, [3, 4, 5])
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for site in stack.sites.values():
            for index, slot in site.slots.items():
                B = site.B[slot, : RANKS[index]]
                B.copy_(torch.randn(B.shape, generator=draw) * 0.05)
    return stack


def rows_of(owners: tuple[int, ...], share: bool = True, prefix: tuple[int, ...] = (7, 8)) -> Rows:
    """Rows of a few examples of each of ``owners``, with something in common."""
    chosen = []
    for number, owner in enumerate(owners):
        step = [e for e in made(4, seed=number) if len(e.ids) <= 14]
        step = [Example(prefix + e.ids, 2 + e.answer_start, e.fact_id) for e in step]
        chosen += [(owner, False, row) for row in split(step, share)]
    return lay_out(chosen, 0)


def gradients(stack: Stack, logits: Tensor, rows: Rows) -> tuple[Tensor, list[Tensor]]:
    F.cross_entropy(logits, rows.targets, reduction="sum").backward()
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in stack.parameters()]
    for parameter in stack.parameters():
        parameter.grad = None
    return logits.detach(), found


def require_same(model: nn.Module, stack: Stack, rows: Rows) -> None:
    with stack.attached():
        assert lean.fits(model, stack, rows)
    got = gradients(stack, lean.logits(model, stack, rows), rows)
    with stack.attached(), stack.using(rows.owners, train=True):
        assert lean.fits(model, stack, rows)  # the stack's own hooks do not count
        want = gradients(stack, outputs_at(model, rows).logits, rows)
    torch.testing.assert_close(got[0], want[0], rtol=1e-5, atol=2e-5)
    for mine, theirs in zip(got[1], want[1], strict=True):
        torch.testing.assert_close(
            mine, theirs, rtol=1e-4, atol=1e-5 + 1e-4 * float(theirs.abs().max())
        )


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("owners", [(0, 1, 2), (1, 2), (2, 0), (1, 1), (1, 0, 1)], ids=str)
@pytest.mark.parametrize("family", LAYOUTS)
def test_logits_and_gradients_are_the_models(
    family: str, owners: tuple[int, ...], share: bool
) -> None:
    model = tiny(family)
    require_same(model, stack_of(model), rows_of(owners, share))


@pytest.mark.parametrize("prefixes", [(2, 2, 2), (9, 9, 9), (1, 6, 3)], ids=str)
@pytest.mark.parametrize("worth", [0.0, 10.0])
def test_examples_attend_alike_picked_out_of_their_rows_or_not(
    monkeypatch: pytest.MonkeyPatch, worth: float, prefixes: tuple[int, ...]
) -> None:
    monkeypatch.setattr(picked, "WORTH", worth)
    model, chosen = tiny("llama"), []
    for owner, length in enumerate(prefixes):
        step = [e for e in made(5, seed=owner) if len(e.ids) <= 14]
        begun = tuple(range(20, 20 + length))
        step = [Example(begun + e.ids, length + e.answer_start, e.fact_id) for e in step]
        chosen += [(owner, False, row) for row in split(step, True)]
    rows = lay_out(chosen, 0)
    turn = torch.ones(*rows.places.shape, 1, 8), torch.zeros(*rows.places.shape, 1, 8)
    assert (picked.picked(rows, turn) is None) == (worth == 0)
    require_same(model, stack_of(model), rows)


@pytest.mark.parametrize(
    "roles", [("attention",), ("mlp",), ("q_proj", "down_proj"), ("lm_head",)], ids=str
)
def test_modules_without_adapters_stay_as_they_are(roles: tuple[str, ...]) -> None:
    model = tiny("llama")
    require_same(model, stack_of(model, roles), rows_of((0, 1, 2)))


def test_adapters_of_different_modules_share_a_pass() -> None:
    model = tiny("llama")
    roles = (("attention",), ("mlp",), ("q_proj", "up_proj"))
    specs = [
        AdapterSpec.for_model(model, rank=r, alpha=r, roles=role)
        for r, role in zip(RANKS, roles, strict=True)
    ]
    stack = Stack(model, specs, [0, 1, 2])
    for owners in ((0, 1, 2), (1, 2, 0)):
        require_same(model, stack, rows_of(owners))


def test_an_adapter_of_infinities_reaches_no_other_job() -> None:
    model = tiny("llama")
    specs = [
        AdapterSpec.for_model(model, rank=2, alpha=2, roles=(role,))
        for role in ("mlp", "attention", "all-linear")
    ]
    stack, rows = Stack(model, specs, [0, 1, 2]), rows_of((0, 1, 2))
    with torch.no_grad():
        for site in stack.sites.values():
            if 0 in site.slots:
                site.A[site.slots[0]] = torch.inf
    logits = lean.logits(model, stack, rows)
    F.cross_entropy(logits, rows.targets, reduction="none").sum().backward()
    assert not bool(torch.isfinite(logits[rows.jobs == 0]).all())
    assert bool(torch.isfinite(logits[rows.jobs != 0]).all())
    for site in stack.sites.values():
        for job in set(site.slots) - {0}:
            slot = site.slots[job]
            assert bool(torch.isfinite(site.A.grad[slot]).all()), site.name
            assert bool(torch.isfinite(site.B.grad[slot]).all()), site.name


def test_a_broken_first_pass_decides_nothing() -> None:
    model, rows = tiny("llama"), rows_of((0, 1))
    stack = stack_of(model)
    with torch.no_grad():
        site = next(iter(stack.sites.values()))
        site.A[site.slots[0]] = torch.nan
    with stack.attached():
        assert not lean.fits(model, stack, rows)
        site.A.data[site.slots[0]] = 0
        assert lean.fits(model, stack, rows)


def test_what_it_does_not_compute_is_left_to_the_model() -> None:
    rows = rows_of((0, 1))
    for family in ("gemma2", "gpt2", "phi3", "olmo2"):
        model = tiny(family)
        assert not lean.fits(model, stack_of(model), rows), family
    double = tiny("llama").double()  # whose norms compute in fp32 all the same
    assert not lean.fits(double, stack_of(double), rows)
    model = tiny("mistral")  # its window is 16
    assert not lean.fits(model, stack_of(model), rows_of((0, 1), prefix=(5,) * 8))
    spec = AdapterSpec.for_model(model, rank=2, alpha=2, dropout=0.1)
    assert not lean.fits(model, Stack(model, [spec], [0]), rows)


def test_a_model_that_computes_otherwise_keeps_its_own_way() -> None:
    model, rows = tiny("llama"), rows_of((0, 1))
    norm, stack = model.model.norm, stack_of(model)
    norm.forward = lambda x: 2 * type(norm).forward(norm, x)
    with stack.attached():
        assert not lean.fits(model, stack, rows)


def test_a_model_that_somebody_listens_to_keeps_its_own_way() -> None:
    model, rows = tiny("llama"), rows_of((0, 1))
    stack = stack_of(model)
    handle = model.model.layers[0].mlp.register_forward_hook(lambda *_: None)
    with stack.attached():
        assert not lean.fits(model, stack, rows)
        handle.remove()
        assert lean.fits(model, stack, rows)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float64, requires_grad=True)


def test_gradients_of_the_norm() -> None:
    gain = torch.rand(6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: NormBeside.apply(x, gain, 1e-5), drawn(5, 6))


@pytest.mark.parametrize("count", [1, 3, 4])
def test_gradients_of_the_gate(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "STRETCH", 2)
    inputs = drawn(count, 3), drawn(count, 3, seed=1)
    assert torch.autograd.gradcheck(gate.Gated.apply, inputs)
    torch.testing.assert_close(gate.Gated.apply(*inputs), F.silu(inputs[0]) * inputs[1])


@pytest.mark.parametrize("groups", [4, 2, 1])
def test_gradients_of_attention(groups: int) -> None:
    cos, sin = torch.rand(2, 2, 5, 1, 6, dtype=torch.float64)
    hidden = torch.zeros(2, 5, 5, dtype=torch.float64)
    hidden[:, torch.ones(5, 5).triu(1).bool()] = -torch.inf
    keys = drawn(2, 5, groups, 6, seed=1), drawn(2, 5, groups, 6, seed=2)
    for asking in (slice(None), slice(1, 4)):
        turns = (cos[:, asking], sin[:, asking]), (cos, sin)
        query = drawn(2, 5, 4, 6)[:, asking].detach().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda q, k, v, turns=turns, seen=hidden[:, asking]: Attention.apply(
                q, k, v, turns, seen, 0.3
            ),
            (query, *keys),
        )


numbers = st.floats(-1e4, 1e4, width=32)


@settings(deadline=None)
@given(st.lists(st.lists(numbers, min_size=5, max_size=5), min_size=1, max_size=4))
def test_cross_entropy_is_torchs_however_far_logits_lie_apart(rows: list[list[float]]) -> None:
    targets = torch.arange(len(rows)) % 5
    found = []
    for function in (cross_entropy, lambda x, t: F.cross_entropy(x, t, reduction="none")):
        logits = torch.tensor(rows, dtype=torch.float64, requires_grad=True)
        losses = function(logits, targets)
        (losses * torch.arange(1.0, len(rows) + 1)).sum().backward()
        found.append((losses.detach(), logits.grad))
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)
