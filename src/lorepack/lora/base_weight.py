"""The weight of a linear module as one plain matrix, however the module keeps it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lorepack.errors import InputError


def dense(module: nn.Module, dtype: torch.dtype) -> Tensor:
    """W (out, in) of a linear module, detached.

    A weight in 4 bits is unpacked for the caller alone, so that one exists at a time.

    Args:
        module: a linear layer, GPT-2's Conv1D, or bitsandbytes' Linear4bit.
        dtype: what to compute in.

    Raises:
        InputError: the weight is packed in a form that is not known.
    """
    weight: Tensor = module.weight.detach()  # type: ignore[union-attr,operator,assignment]
    if not weight.is_floating_point():
        weight = _unpacked(module)
    if isinstance(module, Conv1D):
        weight = weight.T  # kept as (in, out)
    return weight.to(dtype)


def _unpacked(module: nn.Module) -> Tensor:
    state = getattr(module.weight, "quant_state", None)
    if state is None:
        raise InputError(
            f"a {type(module).__name__} keeps its weight as {module.weight.dtype} in an unknown "
            f"form; expected floating point or bitsandbytes' 4 bits (quantize=4bit on CUDA)"
        )
    from bitsandbytes.functional import dequantize_4bit

    weight: Tensor = dequantize_4bit(module.weight.data, state)  # (out, in)
    return weight
