"""An adapter at strength λ adds λ·ΔW; at 1 it is itself, near 0 the base; PEFT reads it alike."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import PeftModel

from lora.made import stack_of, tokens
from lorepack import lora
from lorepack.auditing.strength import FINAL, Point, around, at_strength, grid, third_of
from lorepack.lora import AdapterSpec, Stack
from tiny_models import tiny

IDS = tokens(2, 12)


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def adapted(model, spec, factors):
    stack = Stack(model, [spec], [0])
    stack.load_factors(0, factors)
    with stack.attached(), stack.using(0):
        return logits(model)


def given(kind="lora", **changes):
    model = tiny("llama")
    spec = AdapterSpec.for_model(model, rank=3, alpha=6, roles=("all-linear",), kind=kind)
    spec = AdapterSpec(**{**vars(spec), **changes})
    stack = stack_of(model, [spec])
    return model, *stack.plain(0)


@pytest.mark.parametrize("changes", [{}, {"rslora": True}])
@pytest.mark.parametrize("layers", [None, (0.25, 1.0, 0.5)])
def test_it_is_the_base_with_so_much_of_the_change_added(changes, layers):
    model, spec, factors = given(**changes)
    point = Point(FINAL, 0.7, layers)
    got = adapted(model, *at_strength(spec, factors, point, model))
    merged = copy.deepcopy(model)
    places = third_of(spec.targets)
    with torch.no_grad():
        for name, (lora_A, lora_B) in factors.items():
            strength = layers[places[name]] if layers else 0.7
            weight = merged.get_submodule(name).weight
            weight += strength * spec.scale_of(name) * (lora_B @ lora_A)
    assert torch.allclose(got, logits(merged), atol=1e-5)


@pytest.mark.parametrize("kind", ["lora", "dora"])
def test_at_one_it_is_the_adapter_and_near_nothing_the_base(kind):
    model, spec, factors = given(kind)
    whole = adapted(model, spec, factors)
    assert torch.equal(adapted(model, *at_strength(spec, factors, Point(FINAL, 1.0), model)), whole)
    least = adapted(model, *at_strength(spec, factors, Point(FINAL, 1e-6), model))
    assert torch.allclose(least, logits(model), atol=1e-4)
    assert not torch.allclose(whole, logits(model), atol=1e-2)


@pytest.mark.parametrize("kind", ["lora", "dora"])
@pytest.mark.parametrize("layers", [None, (0.5, 0.3, 1.2)])
def test_peft_gives_equal_logits_for_the_file(tmp_path, kind, layers):
    model, spec, factors = given(kind)
    weaker, changed = at_strength(spec, factors, Point(FINAL, 0.4, layers), model)
    lora.save(tmp_path, weaker, changed, base_name="tiny", provenance={}, fan_in_fan_out=False)
    want = adapted(model, weaker, changed)
    peft = PeftModel.from_pretrained(copy.deepcopy(model), tmp_path).eval()
    assert torch.allclose(logits(peft), want, atol=1e-5)
    back = lora.load(tmp_path, model)
    assert torch.allclose(adapted(model, back.spec, back.factors), want, atol=1e-6)


def test_thirds_are_even_and_a_head_is_upper():
    names = [f"model.layers.{i}.mlp.up_proj" for i in range(9)]
    found = third_of([*names, "lm_head"])
    assert [found[name] for name in names] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert found["lm_head"] == 2
    assert third_of(["h.5.a", "h.5.b"]) == {"h.5.a": 0, "h.5.b": 0}


def test_points_around_one_change_a_single_third():
    assert [p.layers for p in around(Point(3, 0.8), 1, (0.5, 1.25))] == [
        (0.8, 0.4, 0.8),
        (0.8, 1.0, 0.8),
    ]
    assert around(Point(3, 0.8, (0.8, 0.4, 0.8)), 2, (0.5,))[0].layers == (0.8, 0.4, 0.4)
    assert Point(3, 0.8).of_thirds == (0.8,) * 3


def test_the_grid_has_every_checkpoint_at_every_strength():
    assert grid([2, FINAL], [0.5, 1.0]) == [
        Point(2, 0.5), Point(2, 1.0), Point(FINAL, 0.5), Point(FINAL, 1.0),
    ]  # fmt: skip
    assert [p.as_trained for p in grid([2, FINAL], [0.5, 1.0])] == [False, False, False, True]
