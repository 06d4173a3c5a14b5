"""Roles mean the right modules in every family; the head only where it is named."""

from __future__ import annotations

import pytest

from lorepack.errors import InputError
from lorepack.lora import resolve
from tiny_models import FAMILIES, LAYERS, tiny

SPLIT = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"}
GATED = {"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}
EXPECTED = dict.fromkeys(FAMILIES, (SPLIT, GATED)) | {
    "phi3": ({"self_attn.qkv_proj", "self_attn.o_proj"}, {"mlp.gate_up_proj", "mlp.down_proj"}),
    "gpt2": ({"attn.c_attn", "attn.c_proj"}, {"mlp.c_fc", "mlp.c_proj"}),
}


def layer_names(family: str, leaves: set[str], layers: range = range(LAYERS)) -> list[str]:
    stem = "transformer.h" if family == "gpt2" else "model.layers"
    return sorted(f"{stem}.{layer}.{leaf}" for layer in layers for leaf in leaves)


@pytest.mark.parametrize("family", FAMILIES)
def test_roles_name_the_modules_of_every_layer(family: str) -> None:
    attention, mlp = EXPECTED[family]
    model = tiny(family)
    assert resolve(model, ("attention",)) == layer_names(family, attention)
    assert resolve(model, "mlp") == layer_names(family, mlp)
    assert resolve(model, ("all-linear",)) == layer_names(family, attention | mlp)
    assert resolve(model, ("mlp", "attention")) == resolve(model, ("all-linear",))


def test_a_layer_range_is_inclusive_and_suffixes_are_explicit() -> None:
    model = tiny("llama")
    assert resolve(model, ("down_proj",), (1, 1)) == ["model.layers.1.mlp.down_proj"]
    assert resolve(model, ("down_proj",), (0, 1)) == layer_names("llama", {"mlp.down_proj"})
    gpt2 = tiny("gpt2")
    assert resolve(gpt2, ("c_proj",)) == layer_names("gpt2", {"mlp.c_proj", "attn.c_proj"})
    assert resolve(gpt2, ("mlp.c_proj",)) == layer_names("gpt2", {"mlp.c_proj"})
    one = "model.layers.0.mlp.up_proj"
    assert resolve(model, (one,)) == [one]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_head_is_meant_only_by_its_own_name(family: str) -> None:
    model = tiny(family)
    assert resolve(model, "lm_head") == ["lm_head"]
    assert resolve(model, ("lm_head", "mlp"), (1, 1)) == ["lm_head", *resolve(model, "mlp", (1, 1))]
    assert "lm_head" not in resolve(model, "all-linear")


@pytest.mark.parametrize(
    ("roles", "layers", "message"),
    [
        (("down_prj",), None, "unknown target 'down_prj'; did you mean down_proj?"),
        (("attentoin",), None, "did you mean attention?"),
        (("head",), None, "unknown target 'head'"),
        (("embed_tokens",), None, "unknown target"),
        (("mlp",), (0, 2), "the model has layers 0 to 1"),
        (("mlp",), (1, 0), "the model has layers 0 to 1"),
        (("mlp",), (-1, 0), "the model has layers 0 to 1"),
        ((), None, "targets is empty"),
    ],
)
def test_what_matches_nothing_is_refused(
    roles: tuple[str, ...], layers: tuple[int, int] | None, message: str
) -> None:
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        resolve(tiny("llama"), roles, layers)
