"""Norms and intruders are those of plain linear algebra in fp64."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lorepack import lora
from lorepack.auditing import applied, weights
from lorepack.auditing.weights import layer_of
from lorepack.errors import NumericError
from lorepack.lora.base_weight import dense
from lorepack.lora.spec import module_of
from tiny_models import tiny


class Two(nn.Module):
    """Two layers, one of them wider than high."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.ModuleList(
            [nn.ModuleDict({"up": nn.Linear(12, 30)}), nn.ModuleDict({"up": nn.Linear(30, 9)})]
        )


def made(model: nn.Module, size: float, **options) -> lora.Stack:
    names = tuple(n for n, m in model.named_modules() if isinstance(m, nn.Linear))
    spec = lora.AdapterSpec(3, 6.0, options.pop("rslora", False), names, **options)
    stack = lora.Stack(model, [spec, spec], [0, 1])
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for factor in stack.B.values():
            factor.normal_(0, size, generator=draw)
    return stack


def oracle(model: nn.Module, stack: lora.Stack, index: int, k: int, eps: float) -> dict:
    """Norm, relative norm and intruders of every module, built whole with NumPy in fp64."""
    spec, factors = stack.plain(index)
    found = {}
    for name in spec.targets:
        W = dense(module_of(model, name), torch.float64).numpy()
        A, B, *m = (f.double().numpy() for f in factors[name])
        full = W + spec.scale_of(name) * B @ A
        if m:
            full = full * (m[0] / np.linalg.norm(full, axis=1))[:, None]
        U, V = (np.linalg.svd(x, full_matrices=False)[0] for x in (W, full))
        new = int((np.abs(U.T @ V[:, :k]).max(0) < eps).sum())
        norm = np.linalg.norm(full - W)
        found[name] = (norm, norm / np.linalg.norm(W), new)
    return found


@pytest.mark.parametrize("options", [{}, {"rslora": True}, {"kind": "dora"}, {"init": "pissa"}])
@pytest.mark.parametrize("size", [0.01, 0.3])
def test_figures_are_those_of_whole_matrices(options, size):
    model = Two()
    stack = made(model, size, **options)
    for index in (0, 1):
        found = weights(SimpleNamespace(model=model), stack, index, leading=5)
        want = oracle(model, stack, index, 5, 0.5)
        for row in found["modules"]:
            norm, relative, new = want[row["name"]]
            assert row["norm"] == pytest.approx(norm, rel=1e-5)
            assert row["relative"] == pytest.approx(relative, rel=1e-5)
            assert row["intruders"] == new
        assert found["total_norm"] == pytest.approx(
            np.sqrt(sum(norm**2 for norm, _, _ in want.values())), rel=1e-5
        )
        assert found["intruders"] == sum(new for _, _, new in want.values())
        assert found["threshold"] == 0.5
        assert found["upper_bound"] == []
    rows = found["modules"]
    assert [(row["layer"], row["kind"]) for row in rows] == [(0, "up"), (1, "up")]


def test_a_strong_new_direction_is_an_intruder_and_a_scaled_old_one_is_not():
    torch.manual_seed(0)
    model = nn.Module()
    model.up = nn.Linear(16, 24, bias=False)
    U, _, Vh = torch.linalg.svd(model.up.weight.detach(), full_matrices=False)
    spread = (U[:, 4:20].sum(1) / 4)[:, None]  # equally far from many directions: cosines of 1/4
    for left, right, new in ((U[:, 7:8], Vh[7:8], 0), (spread, Vh[:1], 1)):
        spec = lora.AdapterSpec(1, 1.0, False, ("up",))
        stack = lora.Stack(model, [spec], [0])
        stack.load_factors(0, {"up": (right, 50 * left)})
        for exact in (2048, 1):  # both ways of finding the directions
            found = weights(SimpleNamespace(model=model), stack, 0, leading=1, exact=exact)
            assert found["modules"][0]["intruders"] == new
            assert found["upper_bound"] == ([] if exact > 1 else ["up"])


def test_an_adapter_at_its_start_moves_nothing():
    model = Two()
    found = weights(SimpleNamespace(model=model), made(model, 0.0), 0)
    assert found["total_norm"] == 0
    assert found["intruders"] == 0
    assert all(row["relative"] == 0 for row in found["modules"])


@given(scale=st.floats(0.01, 100), seed=st.integers(0, 9))
@settings(max_examples=20)
def test_the_norm_grows_with_the_scale(scale, seed):
    model = Two(seed)
    names = ("layers.0.up",)
    one, other = (lora.AdapterSpec(2, alpha, False, names) for alpha in (2.0, 2.0 * scale))
    stack = lora.Stack(model, [one, other], [seed, seed])
    with torch.no_grad():
        stack.B["layers.0.up"][:] = torch.randn(
            2, 30, generator=torch.Generator().manual_seed(seed)
        )
    first, second = (
        weights(SimpleNamespace(model=model), stack, i, leading=1)["total_norm"] for i in (0, 1)
    )
    assert second == pytest.approx(first * scale, rel=1e-5)


def test_nan_is_an_error_that_names_the_module():
    model = Two()
    stack = made(model, 0.1)
    with torch.no_grad():
        stack.B["layers.1.up"].fill_(float("nan"))
    with pytest.raises(NumericError, match=r"layers\.1\.up"):
        weights(SimpleNamespace(model=model), stack, 0)


def test_layers_are_read_from_names():
    assert layer_of("model.layers.12.mlp.up_proj") == 12
    assert layer_of("transformer.h.3.mlp.c_fc") == 3
    assert layer_of("lm_head") is None


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_modules_of_models_are_read_in_their_own_layout(family):
    model = tiny(family)
    names = tuple(lora.resolve(model, ("mlp",)))
    stack = lora.Stack(model, [lora.AdapterSpec(2, 4.0, False, names)], [0])
    with torch.no_grad():
        for factor in stack.B.values():
            factor.normal_(0, 0.1, generator=torch.Generator().manual_seed(0))
    want = oracle(model, stack, 0, 10, 0.5)
    found = weights(SimpleNamespace(model=model), stack, 0)
    assert [row["norm"] for row in found["modules"]] == pytest.approx(
        [want[row["name"]][0] for row in found["modules"]], rel=1e-5
    )
    assert [r["intruders"] for r in found["modules"]] == [
        want[row["name"]][2] for row in found["modules"]
    ]


def test_an_adapter_that_acts_moves_a_logit():
    from lorepack.llm import load

    lm = load("world", device="cpu", dtype="float32")
    names = tuple(lora.resolve(lm.model, ("mlp",)))
    stack = lora.Stack(lm.model, [lora.AdapterSpec(2, 4.0, False, names)] * 2, [0, 1])
    with torch.no_grad():
        for factor in stack.B.values():
            factor[1].normal_(0, 0.05, generator=torch.Generator().manual_seed(0))
    assert applied(lm, stack, 0) == {"logit_difference": 0.0}
    moved = applied(lm, stack, 1)["logit_difference"]
    ids = torch.tensor([lm.chat.prompt_ids("Question: Was this adapter applied?")])
    with torch.inference_mode():
        base = lm.model(ids).logits
        with lora.merged(lm.model, stack.specs[1], stack.factors(1)):
            other = lm.model(ids).logits
    assert moved == pytest.approx(float((other - base).abs().max()), rel=1e-3)
    assert moved > 0.01
