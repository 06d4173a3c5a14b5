"""A base in 4 bits is refused in one line where it cannot be had, and asked for as promised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lorepack.errors import InputError, NumericError
from lorepack.llm import load, quantize
from lorepack.llm.quantize import check_quantize, check_stored_finite, options
from lorepack.llm.weights import stored_tensors
from tiny_models import tiny

from .conftest import byte_tokenizer

CUDA = torch.device("cuda:0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny("llama").save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    return tmp_path


def test_without_cuda_it_is_one_clear_error(folder: Path) -> None:
    with pytest.raises(InputError, match="quantize '4bit': needs a CUDA device, got cpu") as caught:
        load(folder, device="cpu", quantize="4bit")
    assert "\n" not in str(caught.value)


def test_an_unknown_name_is_told(folder: Path) -> None:
    with pytest.raises(InputError, match="quantize '4bits': unknown; did you mean 4bit"):
        load(folder, device="cpu", quantize="4bits")


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"accelerate and bitsandbytes not installed; pip install"):
        check_quantize("4bit", CUDA)
    monkeypatch.setattr(quantize, "find_spec", lambda name: object())
    check_quantize("4bit", CUDA)
    check_quantize(None, torch.device("cpu"))


def test_transformers_is_asked_for_nf4_twice_quantized() -> None:
    asked: dict[str, Any] = options(CUDA, torch.bfloat16)
    config = asked["quantization_config"]
    assert (config.load_in_4bit, config.bnb_4bit_quant_type) == (True, "nf4")
    assert (config.bnb_4bit_use_double_quant, config.bnb_4bit_compute_dtype) == (
        True,
        torch.bfloat16,
    )
    assert asked["device_map"] == {"": CUDA}


def test_nan_is_found_in_the_file_before_it_is_packed(folder: Path) -> None:
    check_stored_finite(stored_tensors(folder))
    file = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    tensors["model.layers.1.mlp.up_proj.weight"][0, 0] = float("nan")
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(NumericError, match=r"layers\.1\.mlp\.up_proj\.weight holds NaN"):
        check_stored_finite(stored_tensors(folder))


def test_the_base_in_4_bits_is_another_base() -> None:
    assert quantize.quantized_fingerprint("a" * 64) != "a" * 64
    assert quantize.quantized_fingerprint("a" * 64) != quantize.quantized_fingerprint("b" * 64)
