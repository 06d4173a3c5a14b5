"""Adapters on weights that are packed in 4 bits, here by a stand-in for bitsandbytes on the CPU."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lora.made import stack_of, tokens
from lorepack.errors import InputError
from lorepack.lora import AdapterSpec, Stack, verify_applied
from lorepack.lora.base_weight import dense
from lorepack.lora.targets import sizes
from tiny_models import tiny


class Packed(nn.Linear):
    """A linear layer whose weight lies in bytes, in a shape that says nothing of its widths."""

    def __init__(self, whole: nn.Linear) -> None:
        super().__init__(whole.in_features, whole.out_features, bias=False)
        step = whole.weight.abs().max() / 127
        code = (whole.weight / step).round().to(torch.int8).view(torch.uint8).reshape(-1, 1)
        self.weight: Any = nn.Parameter(code, requires_grad=False)
        self.weight.quant_state = SimpleNamespace(step=step, shape=whole.weight.shape)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, unpack(self.weight.data, self.weight.quant_state))


def unpack(code: Tensor, state: Any) -> Tensor:
    return code.view(torch.int8).view(state.shape) * state.step


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model with packed layers, where ``bitsandbytes`` can unpack them."""
    functional = SimpleNamespace(dequantize_4bit=unpack)
    monkeypatch.setitem(sys.modules, "bitsandbytes", SimpleNamespace(functional=functional))
    monkeypatch.setitem(sys.modules, "bitsandbytes.functional", functional)
    model: Any = tiny("llama")
    for layer in model.model.layers:
        for block in (layer.mlp, layer.self_attn):
            for name, module in list(block.named_children()):
                if isinstance(module, nn.Linear):
                    setattr(block, name, Packed(module))
    return model


def test_sizes_come_from_the_layer_not_from_its_bytes(packed: Any) -> None:
    module = packed.model.layers[0].mlp.up_proj
    assert module.weight.shape == (32 * 48, 1)
    assert sizes(module) == (32, 48)
    assert dense(module, torch.float64).shape == (48, 32)
    with pytest.raises(InputError, match=r"rank 40 is above .*down_proj: expected 1 to 32"):
        AdapterSpec.for_model(packed, rank=40, alpha=1, roles="all-linear")


@pytest.mark.parametrize("changes", [{}, {"kind": "dora"}, {"init": "pissa"}], ids=str)
def test_every_kind_trains_on_packed_weights(packed: Any, changes: dict[str, Any]) -> None:
    spec = AdapterSpec.for_model(
        packed, rank=4, alpha=8, roles="all-linear", dropout=0.1, **changes
    )
    stack, ids = stack_of(packed, [spec]), tokens(2, 8)
    assert all(parameter.dtype == torch.float32 for parameter in stack.parameters())
    verify_applied(stack, 0, packed, ids)
    with stack.attached(), stack.using([0, 0], train=True):
        packed(input_ids=ids, use_cache=False).logits.square().mean().backward()
    assert all(bool(p.grad.any()) for p in stack.parameters() if p.grad is not None)


def test_bytes_in_an_unknown_form_are_refused(packed: Any) -> None:
    del packed.model.layers[0].mlp.up_proj.weight.quant_state
    spec = AdapterSpec.for_model(packed, rank=4, alpha=8, roles="mlp", kind="dora")
    with pytest.raises(InputError, match=r"keeps its weight as torch.uint8 in an unknown form"):
        Stack(packed, [spec], [0])
