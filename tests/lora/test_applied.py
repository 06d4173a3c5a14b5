"""The check that an adapter acts catches one that does not."""

from __future__ import annotations

import pytest
import torch

from lora.made import stack_of, tokens
from lorepack.errors import MismatchError, NumericError
from lorepack.lora import AdapterSpec, Stack, verify_applied
from tiny_models import FAMILIES, tiny


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("rslora", [False, True])
def test_the_stack_agrees_with_merged_weights(family: str, rslora: bool) -> None:
    model = tiny(family)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    spec = AdapterSpec.for_model(model, rank=4, alpha=8, rslora=rslora, roles="all-linear")
    stack = stack_of(model, [spec, spec])
    assert verify_applied(stack, 1, model, tokens(2, 12)) <= 1e-4
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_an_adapter_that_does_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    stack = stack_of(model, [AdapterSpec.for_model(model, rank=4, alpha=8)])
    monkeypatch.setattr(Stack, "_add_one", lambda self, site, x, out, index: out)
    with pytest.raises(MismatchError, match="was not applied"):
        verify_applied(stack, 0, model, tokens(1, 8))


def test_a_wrong_scale_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    stack = stack_of(model, [AdapterSpec.for_model(model, rank=4, alpha=8)])
    right = Stack._add_one

    def twice(self: Stack, site, x, out, index):  # type: ignore[no-untyped-def]
        return 2 * right(self, site, x, out, index) - out

    monkeypatch.setattr(Stack, "_add_one", twice)
    with pytest.raises(MismatchError, match="differ from those of its merged weights"):
        verify_applied(stack, 0, model, tokens(1, 8))


def test_an_untrained_adapter_passes_and_nan_is_named() -> None:
    model = tiny("llama")
    spec = AdapterSpec.for_model(model, rank=4, alpha=8)
    assert verify_applied(Stack(model, [spec], [0]), 0, model, tokens(1, 8)) <= 1e-4
    model.get_input_embeddings().weight.data[5:] = float("nan")
    with pytest.raises(NumericError, match="logits of the base"):
        verify_applied(Stack(model, [spec], [0]), 0, model, tokens(1, 8))
