"""DoRA and PiSSA: gradients and logits are PEFT's in fp64, alone and among plain neighbours."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn

from lora.made import in_peft, stack_of, tokens
from lora.test_stack import Masked
from lorepack.errors import InputError
from lorepack.lora import AdapterSpec, Decompositions, Stack, merged, save, verify_applied
from lorepack.lora.dora import row_norms
from tiny_models import FAMILIES, tiny


def spec_of(model: nn.Module, **changes: Any) -> AdapterSpec:
    values: dict[str, Any] = {"rank": 4, "alpha": 6, "roles": "all-linear"}
    return AdapterSpec.for_model(model, **{**values, **changes})


def biased(family: str) -> Any:
    """A tiny model in fp64 whose biases, where the family has any, are not zero."""
    model, draw = tiny(family).double(), torch.Generator().manual_seed(1)
    for name, weight in sorted(model.named_parameters()):
        if name.endswith(".bias"):
            weight.data = torch.randn(weight.shape, generator=draw, dtype=torch.float64) / 4
    return model


def with_masks(peft: PeftModel, stack: Stack, index: int, step: int) -> PeftModel:
    """PEFT in training mode with the stack's dropout in the place of its own."""
    spec = stack.specs[index]
    for name in spec.targets:
        layer: Any = peft.base_model.model.get_submodule(name)
        layer.lora_dropout["default"] = Masked(stack.seeds[index], step, name, spec.dropout)
        layer.train()  # PEFT's DoRA looks at this before it lets the base see the dropped input
        layer.get_base_layer().eval()
    return peft


def require_grads(stack: Stack, index: int, peft: PeftModel, rtol: float = 1e-9) -> None:
    spec = stack.specs[index]
    for name in spec.targets:
        site, rank = stack.sites[name], spec.rank_of(name)
        layer: Any = peft.base_model.model.get_submodule(name)
        slot = site.slots[index]
        assert site.A.grad is not None
        assert site.B.grad is not None
        pairs = [
            (site.A.grad[slot, :, :rank].T, layer.lora_A["default"].weight.grad),
            (site.B.grad[slot, :rank].T, layer.lora_B["default"].weight.grad),
        ]
        if spec.kind == "dora":
            assert site.magnitudes is not None
            assert site.magnitudes.values.grad is not None
            mine = site.magnitudes.values.grad[site.magnitudes.slots[index], 0]
            pairs.append((mine, layer.lora_magnitude_vector["default"].weight.grad))
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, theirs, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("dropout", [0.0, 0.25], ids=["kept", "dropped"])
@pytest.mark.parametrize("family", FAMILIES)
def test_dora_has_the_gradients_of_peft(family: str, dropout: float) -> None:
    model = biased(family)
    stack = stack_of(model, [spec_of(model, kind="dora", rslora=True, dropout=dropout)])
    ids = tokens(3, 16)
    stack.set_step(7)
    with stack.attached(), stack.using(0, train=True):
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    peft = in_peft(model, stack, 0)
    if dropout:
        peft = with_masks(peft, stack, 0, 7)
    want = peft(input_ids=ids, labels=ids, use_cache=False).loss
    want.backward()
    assert loss.item() == pytest.approx(want.item(), rel=1e-12)
    require_grads(stack, 0, peft)


@pytest.mark.parametrize("family", FAMILIES)
def test_pissa_begins_as_the_base_and_has_the_gradients_of_peft(family: str) -> None:
    model = tiny(family).double()
    ids = tokens(3, 16)
    spec = spec_of(model, init="pissa", rslora=True, dropout=0.25)
    stack = Stack(model, [spec], [3])
    with torch.no_grad(), stack.attached(), stack.using(0):
        first = model(input_ids=ids, use_cache=False).logits
    base = model(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(first, base, rtol=1e-9, atol=1e-10)

    # PEFT moves the base to W - s B0 A0; here the same is done to a copy.
    moved = copy.deepcopy(model)
    for name, (A0, B0) in stack.factors(0).items():
        weight: Any = moved.get_submodule(name).weight
        delta = spec.scale * (B0 @ A0)
        weight.data -= delta.T if family == "gpt2" else delta
    trained = {
        name: (a + 0.05 * torch.ones_like(a), b - 0.02 * torch.ones_like(b))
        for name, (a, b) in stack.factors(0).items()
    }
    stack.load_factors(0, trained)
    stack.set_step(2)
    with stack.attached(), stack.using(0, train=True):
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    peft = with_masks(in_peft(moved, stack, 0), stack, 0, 2)
    want = peft(input_ids=ids, labels=ids, use_cache=False).loss
    want.backward()
    assert loss.item() == pytest.approx(want.item(), rel=1e-9)
    require_grads(stack, 0, peft, rtol=1e-7)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_pissa_begins_with_pefts_factors(family: str) -> None:
    model = tiny(family)
    spec = spec_of(model, init="pissa", rslora=True)
    config = LoraConfig(
        r=4,
        lora_alpha=6,
        use_rslora=True,
        init_lora_weights="pissa",
        target_modules=list(spec.targets),
    )
    peft: Any = get_peft_model(copy.deepcopy(model), config)  # type: ignore[arg-type]
    for name, (lora_A, lora_B) in Stack(model, [spec], [0]).factors(0).items():
        layer = peft.base_model.model.get_submodule(name)
        want = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
        torch.testing.assert_close(lora_B @ lora_A, want, rtol=1e-4, atol=1e-5)
        # Balanced: A Aᵀ and Bᵀ B are the same singular values.
        torch.testing.assert_close(lora_A @ lora_A.T, lora_B.T @ lora_B, rtol=1e-4, atol=1e-4)


MIXED: list[dict[str, Any]] = [
    {"rank": 3, "dropout": 0.2},
    {"rank": 5, "kind": "dora", "roles": "mlp"},
    {"rank": 2, "init": "pissa", "dropout": 0.3},
    {"rank": 7, "kind": "dora", "dropout": 0.4, "rslora": True},
    {"rank": 1, "init": "pissa", "roles": "attention", "layers": (1, 1)},
]


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2"])
@pytest.mark.parametrize(
    "rows", [[0, 1, 2, 3, 4], [3, -1, 1, 2, 3, 0, 4, 1]], ids=["in order", "any order"]
)
def test_rows_of_all_kinds_equal_each_adapter_alone(family: str, rows: list[int]) -> None:
    model = biased(family)
    specs = [spec_of(model, **changes) for changes in MIXED]
    stack = stack_of(model, specs)
    ids, steps = tokens(len(rows), 12), [4, 5, 6, 7, 8]
    stack.set_step(steps)
    with stack.attached(), stack.using(rows, train=True):
        together = model(input_ids=ids, use_cache=False).logits
        together.square().mean().backward()
    for index, spec in enumerate(specs):
        alone = Stack(model, [spec], [stack.seeds[index]])
        alone.load_factors(0, stack.factors(index))
        alone.set_step(steps[index])
        mine = [row for row, adapter in enumerate(rows) if adapter == index]
        with alone.attached(), alone.using(0, train=True):
            logits = model(input_ids=ids[mine], use_cache=False).logits
            (logits.square().sum() / together.numel()).backward()
        torch.testing.assert_close(together[mine], logits, rtol=1e-9, atol=1e-10)
        for name, site in alone.sites.items():
            theirs = {side: (slots, t) for side, slots, t in stack.sites[name].trained()}
            for side, _, parameter in site.trained():
                slots, tensor = theirs[side]
                assert tensor.grad is not None
                assert parameter.grad is not None
                got = tensor.grad[slots[index]]
                inside = tuple(slice(size) for size in parameter.grad[0].shape)
                want = parameter.grad[0]
                torch.testing.assert_close(got[inside], want, rtol=1e-7, atol=1e-13)


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("kind", [{"kind": "dora"}, {"init": "pissa"}], ids=["dora", "pissa"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_stack_agrees_with_merged_weights(
    family: str, kind: dict[str, Any], rslora: bool
) -> None:
    model = biased(family).float()
    stack = stack_of(model, [spec_of(model), spec_of(model, rslora=rslora, **kind)])
    assert verify_applied(stack, 1, model, tokens(2, 12)) <= 2e-3


def test_bf16_bases_carry_every_kind() -> None:
    model = tiny("llama").bfloat16()
    stack = stack_of(model, [spec_of(model, **changes) for changes in MIXED], seed=1)
    assert all(parameter.dtype == torch.float32 for parameter in stack.parameters())
    ids = tokens(5, 8)
    with stack.attached(), stack.using(range(5), train=True):
        logits = model(input_ids=ids, use_cache=False).logits
        logits.float().square().mean().backward()
    assert logits.dtype == torch.bfloat16
    for parameter in stack.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    for index in range(5):
        verify_applied(stack, index, model, ids[:1])


@settings(max_examples=25, deadline=None)
@given(
    rank=st.integers(1, 6),
    out=st.integers(1, 20),
    spread=st.floats(1e-4, 30.0),
    scale=st.floats(0.1, 8.0),
    seed=st.integers(0, 99),
)
def test_norms_by_factors_are_the_norms_of_the_sum(
    rank: int, out: int, spread: float, scale: float, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64)

    weight, A, B = random(out, 24), random(3, 24, rank), spread * random(3, rank, out)
    scales = torch.tensor([[scale], [1.0], [2.0]], dtype=torch.float64)
    want = torch.linalg.vector_norm(weight + scales[:, :, None] * (A @ B).mT, dim=2)  # (3, out)
    for dtype, near in ((torch.float64, 1e-10), (torch.float32, 2e-4)):
        tensors = [t.to(dtype) for t in (weight, weight.square().sum(1), A, B, scales)]
        torch.testing.assert_close(row_norms(*tensors).double(), want, rtol=near, atol=0)


def test_norms_follow_every_change_of_a_factor() -> None:
    model, ids = tiny("llama").double(), tokens(1, 6)
    stack = stack_of(model, [spec_of(model, kind="dora")])
    for change in (0, 1):
        with torch.no_grad():
            for parameter in stack.parameters():
                parameter.mul_(1 + change)
        with stack.attached(), stack.using(0), torch.no_grad():
            got = model(input_ids=ids, use_cache=False).logits
        with merged(model, stack.specs[0], stack.factors(0)), torch.no_grad():
            want = model(input_ids=ids, use_cache=False).logits
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_norms_kept_while_answering_serve_the_next_step() -> None:
    model, ids = tiny("llama"), tokens(1, 6)
    stack = stack_of(model, [spec_of(model, kind="dora")])
    with stack.attached():
        with torch.inference_mode(), stack.using(0):
            model(input_ids=ids, use_cache=False)
        with stack.using(0, train=True):
            model(input_ids=ids, use_cache=False).logits.sum().backward()
    assert all(parameter.grad is not None for parameter in stack.parameters())


def test_a_row_of_zeros_in_the_weight_stays_finite() -> None:
    model, ids = tiny("llama"), tokens(2, 8)
    model.get_submodule("model.layers.0.mlp.up_proj").weight.data[3:5] = 0  # type: ignore[union-attr,operator,index]
    stack = Stack(model, [spec_of(model, kind="dora")], [0])
    with stack.attached(), stack.using(0):
        logits = model(input_ids=ids, use_cache=False).logits
        logits.square().mean().backward()
    torch.testing.assert_close(logits, model(input_ids=ids, use_cache=False).logits)
    assert all(bool(p.grad.isfinite().all()) for p in stack.parameters() if p.grad is not None)


def test_a_neighbour_with_nan_harms_no_other_kind() -> None:
    model = tiny("llama")
    stack = stack_of(model, [spec_of(model, **changes) for changes in MIXED])
    broken = stack.factors(1)
    stack.load_factors(1, {n: tuple(f * float("nan") for f in fs) for n, fs in broken.items()})
    with stack.attached(), stack.using(range(5)), torch.no_grad():
        logits = model(input_ids=tokens(5, 9), use_cache=False).logits
    assert logits[1].isnan().any()
    assert logits[[0, 2, 3, 4]].isfinite().all()


def test_a_decomposition_is_made_once_and_no_rank_depends_on_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, made = tiny("llama"), []
    svd = torch.linalg.svd
    monkeypatch.setattr(
        torch.linalg, "svd", lambda *args, **options: made.append(1) or svd(*args, **options)
    )
    low, high = (spec_of(model, rank=r, init="pissa", roles="mlp") for r in (2, 5))
    found = Decompositions(model)
    crowd = Stack(model, [low, high], [0, 1], found)
    Stack(model, [high], [1], found)
    assert len(made) == len(low.targets)
    alone = Stack(model, [low], [9]).factors(0)
    for name, factors in crowd.factors(0).items():
        assert all(torch.equal(a, b) for a, b in zip(factors, alone[name], strict=True))


def test_where_only_a_is_trained_b_begins_drawn() -> None:
    model = tiny("llama")
    stack = Stack(model, [spec_of(model, init="kaiming_B")], [4])
    for lora_A, lora_B in stack.factors(0).values():
        assert not lora_A.any()
        bound = lora_B.shape[0] ** -0.5
        assert lora_B.abs().max() <= bound
        assert lora_B.std() == pytest.approx(bound / 3**0.5, rel=0.2)


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    model = tiny("llama")
    with pytest.raises(InputError, match="kind dora with init pissa is not supported"):
        spec_of(model, kind="dora", init="pissa")
    dora, plain = (Stack(model, [spec_of(model, kind=k)], [0]) for k in ("dora", "lora"))
    for one, other in ((dora, plain), (plain, dora)):
        with pytest.raises(InputError, match=r"factors of shape .* expected"):
            one.load_factors(0, other.factors(0))
    pissa = Stack(model, [spec_of(model, init="pissa")], [0])
    told = pytest.raises(InputError, match=r"take spec and factors from Stack\.plain")
    with told, merged(model, pissa.specs[0], pissa.factors(0)):
        pass
    with told:
        save(tmp_path, pissa.specs[0], pissa.factors(0), base_name="tiny", provenance={})
    narrow = spec_of(model, rank=32, init="pissa", roles="mlp")
    assert Stack(model, [narrow], [0]).plain(0)[0].rank == 64  # files may hold more than the width
