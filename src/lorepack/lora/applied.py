"""Was the adapter applied? The stack's outputs against the base's and against merged weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lorepack.errors import MismatchError, NumericError
from lorepack.lora.base_weight import dense
from lorepack.lora.site import Factors
from lorepack.lora.spec import AdapterSpec, module_of
from lorepack.lora.stack import Stack

# The two ways round differently; relative to the largest logit. Half precision rounds the sum
# W + ΔW·x at every layer, so that only gross disagreement means anything there.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3, torch.bfloat16: 0.2, torch.float16: 0.1}


@torch.no_grad()
def verify_applied(stack: Stack, index: int, model: nn.Module, input_ids: Tensor) -> float:
    """Check that adapter ``index`` acts on ``model`` as its merged weights would.

    Args:
        stack: holds the adapter; attached or not.
        index: which adapter.
        model: the base that the stack was made for.
        input_ids: any tokens, int64 (B, T).

    Returns:
        The largest absolute difference between the logits with the adapter and those of the
        weights W + s·B·A, of DoRA m·(W + s·B·A)/‖W + s·B·A‖.

    Raises:
        MismatchError: the adapter has weight but changes no logit, or differs from its merge.
        NumericError: a logit is NaN or infinite.
    """
    spec, factors = stack.plain(index)

    def logits() -> Tensor:
        found: Tensor = model(input_ids=input_ids, use_cache=False).logits  # (B, T, V)
        return found

    with stack.attached(), stack.using(None):
        base = logits()
        with merged(model, spec, factors):
            want = logits()
        stack.use(index)
        got = logits()
    return _compare(base, got, want, factors)


@contextmanager
def merged(model: nn.Module, spec: AdapterSpec, factors: Factors) -> Iterator[None]:
    """Let every target compute with its merged weight for the block; the weights stay untouched.

    That is W + s·B·A, and of DoRA each row of it at its magnitude.

    The sum is formed in the forward pass, one module at a time, so that nothing has to be put
    back and at most one merged weight exists at once.

    Raises:
        InputError: factors of PiSSA that are not plain; see `Stack.plain`.
    """
    spec.require_plain()
    handles = []
    try:
        for name in spec.targets:
            hook = _merged_forward(*factors[name], scale=spec.scale_of(name))
            handles.append(module_of(model, name).register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _merged_forward(
    lora_A: Tensor, lora_B: Tensor, *magnitude: Tensor, scale: float
) -> Callable[..., Tensor]:
    def forward(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        weight = dense(module, lora_A.dtype) + scale * (lora_B @ lora_A)  # (out, in)
        if magnitude:
            weight *= (magnitude[0] / _norm(weight))[:, None]
        bias: Tensor | None = module.bias  # type: ignore[assignment]
        full = nn.functional.linear(args[0].to(weight.dtype), weight)
        return (full if bias is None else full + bias).to(out.dtype)

    return forward


def _norm(weight: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(weight, dim=1)  # (out,)
    return torch.where(norm > 0, norm, 1)  # a row of zeros stays zero


def _compare(base: Tensor, got: Tensor, want: Tensor, factors: Factors) -> float:
    for name, logits in (("base", base), ("adapter", got), ("merged weights", want)):
        if not bool(torch.isfinite(logits).all()):
            raise NumericError(f"the logits of the {name} hold NaN or infinity")
    # A and B may both be non-zero only where training moved B away from its start at zero.
    weighty = any(bool(a.any()) and bool(b.any()) for a, b, *_ in factors.values())
    if weighty and torch.equal(base, got):
        raise MismatchError("the adapter was not applied: the logits equal the base's")
    difference = float((got.double() - want.double()).abs().max())
    allowed = _TOLERANCE.get(got.dtype, 0.2) * max(1.0, float(want.abs().max()))
    if difference > allowed:
        raise MismatchError(
            f"the adapter's logits differ from those of its merged weights by {difference:.3g}, "
            f"expected at most {allowed:.3g}"
        )
    return difference
