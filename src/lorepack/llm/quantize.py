"""A frozen base in 4 bits, for bases that fit a GPU in no other way (QLoRA).

Dettmers et al. 2023 (arXiv 2305.14314), section 3: NormalFloat4 with double quantization, computing
in 16 bits. Adapters stay in fp32. bitsandbytes does the packing, on CUDA alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch
from safetensors import safe_open

from lorepack.errors import InputError, NumericError, suggest
from lorepack.llm.weights import Stored

QUANTIZATIONS = ("4bit",)
BYTES = 0.6
"""of a weight in 4 bits, with its share of the scales and of what stays in 16"""
_NEEDS = ("accelerate", "bitsandbytes")


def check_quantize(wanted: str | None, device: torch.device) -> None:
    """Refuse what cannot be loaded in 4 bits before anything is read.

    Raises:
        InputError: an unknown name, a device that is not CUDA, or a library that is missing.
    """
    if wanted is None:
        return
    if wanted not in QUANTIZATIONS:
        raise InputError(
            f"quantize {wanted!r}: unknown{suggest(wanted, QUANTIZATIONS)}; "
            f"expected {', '.join(QUANTIZATIONS)} or none"
        )
    if device.type != "cuda":
        raise InputError(
            f"quantize {wanted!r}: needs a CUDA device, got {device}; "
            f"leave quantize out, or take a smaller model"
        )
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        raise InputError(
            f"quantize {wanted!r}: {' and '.join(missing)} not installed; "
            f"pip install 'lorepack[4bit]'"
        )


def options(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """What transformers' loader is given: NF4, double quantization, computing in ``dtype``."""
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def quantized_fingerprint(fingerprint: str) -> str:
    """The fingerprint of the same weights in 4 bits, which compute something else."""
    return hashlib.sha256(f"{fingerprint} nf4 double".encode()).hexdigest()


def check_stored_finite(tensors: Mapping[str, Stored]) -> None:
    """Look at every weight in its file: once packed, NaN can no longer be seen.

    Raises:
        NumericError: NaN or infinity; names the tensor and its file.
    """
    for file in sorted({tensor.file for tensor in tensors.values()}):
        with safe_open(file, framework="pt") as stored:
            for name in sorted(stored.keys()):
                tensor = stored.get_tensor(name)
                if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                    raise NumericError(
                        f"{file}: tensor {name} holds NaN or infinity; the file is damaged or its "
                        f"training failed; use another copy or checkpoint"
                    )
