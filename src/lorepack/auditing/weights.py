"""How far an adapter moves the weights, module by module, without any data."""

from __future__ import annotations

import math
import re
from typing import Any

import torch
from torch import Tensor, nn

from lorepack import lora
from lorepack.errors import NumericError
from lorepack.llm import QUESTION, LanguageModel
from lorepack.lora.base_weight import dense
from lorepack.lora.spec import module_of

THRESHOLD = 0.5
"""ε: below this cosine with every pre-trained direction, a direction is an intruder"""
LEADING = 10
"""k: singular vectors of the adapted weight that are looked at"""
EXACT = 2048
"""smaller side of the largest weight that is decomposed whole"""
_REFERENCE = 256  # pre-trained directions that are compared where the weight is larger
_PASSES = 6  # of the subspace iteration; each sharpens the leading directions


def weights(
    lm: LanguageModel,
    stack: lora.Stack,
    index: int,
    *,
    leading: int = LEADING,
    threshold: float = THRESHOLD,
    exact: int = EXACT,
) -> dict[str, Any]:
    """Norms of ΔW and intruder dimensions of one adapter, a module at a time.

    An intruder is a left singular vector among the first k of W + ΔW whose cosine with every left
    singular vector of W is below ε (Shuttleworth et al. 2024, arXiv 2410.21228, algorithm 1).
    Where the smaller side of W is above ``exact``, the leading vectors of both come from subspace
    iteration (Halko et al. 2011, arXiv 0909.4061, algorithm 4.4), and only the first 256 of W are
    compared: then the count is an upper bound, since a direction that stood further back in W
    would pass for new.

    Args:
        lm: the base model.
        stack: holds the adapter.
        index: which adapter.
        leading: k.
        threshold: ε.
        exact: smaller side of the largest weight that is decomposed whole.

    Returns:
        ``modules``: rows of ``name, layer, kind, rank, norm`` (‖ΔW‖_F), ``relative`` (to ‖W‖_F)
        and ``intruders``; ``total_norm`` (√Σ‖ΔW‖²), ``intruders``, ``threshold``, ``leading`` and
        ``upper_bound`` (names of modules that were not decomposed whole).

    Raises:
        NumericError: the adapter holds NaN or infinity.
    """
    spec, factors = stack.plain(index)
    rows: list[dict[str, Any]] = []
    bounded: list[str] = []
    for name in spec.targets:
        change = _Change(module_of(lm.model, name), factors[name], spec.scale_of(name))
        norm = change.norm()
        if not math.isfinite(norm):
            raise NumericError(f"{name}: the adapter's factors hold NaN or infinity")
        whole = min(change.W.shape) <= exact
        if not whole:
            bounded.append(name)
        size = float(torch.linalg.vector_norm(change.W, dtype=torch.float64))
        rows.append(
            {
                "name": name,
                "layer": layer_of(name),
                "kind": name.rpartition(".")[2],
                "rank": factors[name][0].shape[0],
                "norm": norm,
                "relative": norm / size if size else 0.0,
                "intruders": intruders(change, leading, threshold, whole) if norm else 0,
            }
        )
    return {
        "modules": rows,
        "total_norm": math.sqrt(math.fsum(row["norm"] ** 2 for row in rows)),
        "intruders": sum(row["intruders"] for row in rows),
        "threshold": threshold,
        "leading": leading,
        "upper_bound": bounded,
    }


def layer_of(name: str) -> int | None:
    """The number of the layer in a module's name; None outside of the layers."""
    found = re.search(r"\.(\d+)\.", f".{name}.")
    return int(found[1]) if found else None


class _Change:
    """W and what an adapter adds to it, s·B A; of DoRA, m·(W + s·B A)/‖W + s·B A‖ - W.

    Args:
        module: the linear layer.
        factors: A ``(r, in)``, B ``(out, r)`` and, of DoRA, m ``(out,)``.
        scale: s.
    """

    def __init__(self, module: nn.Module, factors: tuple[Tensor, ...], scale: float) -> None:
        self.W = dense(module, torch.float32)  # (out, in)
        lora_A, lora_B, *magnitude = (factor.to(self.W.device).double() for factor in factors)
        self.A, self.B, self.scale = lora_A, lora_B, scale
        self.full: Tensor | None = None
        if magnitude:  # not of low rank: every row of W is scaled
            added = self.W.double() + scale * (lora_B @ lora_A)
            size = torch.linalg.vector_norm(added, dim=1)
            rows = magnitude[0] / torch.where(size > 0, size, 1)
            self.full = added * rows[:, None]

    def norm(self) -> float:
        """‖ΔW‖_F, from the triangles of B = Q R and Aᵀ = Q' R': ‖B A‖ = ‖R R'ᵀ‖."""
        if self.full is not None:
            return float(torch.linalg.vector_norm(self.full - self.W))
        if not (bool(self.A.isfinite().all()) and bool(self.B.isfinite().all())):
            return math.nan
        left = torch.linalg.qr(self.B, mode="r").R  # (min(out, r), r)
        right = torch.linalg.qr(self.A.T, mode="r").R  # (min(in, r), r)
        return abs(self.scale) * float(torch.linalg.vector_norm(left @ right.T))

    def adapted(self) -> Tensor:
        """W + ΔW ``(out, in)`` in fp64."""
        if self.full is not None:
            return self.full
        return self.W.double() + self.scale * (self.B @ self.A)

    def times(self, x: Tensor) -> Tensor:
        """(W + ΔW) x, fp32, of x ``(in, n)``."""
        if self.full is not None:
            return self.full.float() @ x
        return self.W @ x + self.scale * (self.B.float() @ (self.A.float() @ x))

    def transposed_times(self, y: Tensor) -> Tensor:
        """(W + ΔW)ᵀ y, fp32, of y ``(out, n)``."""
        if self.full is not None:
            return self.full.float().T @ y
        return self.W.T @ y + self.scale * (self.A.float().T @ (self.B.float().T @ y))


def intruders(change: _Change, leading: int, threshold: float, whole: bool) -> int:
    """How many of the first ``leading`` directions of W + ΔW are new."""
    if whole:
        before = torch.linalg.svd(change.W.double(), full_matrices=False).U  # (out, n)
        after = torch.linalg.svd(change.adapted(), full_matrices=False).U[:, :leading]
    else:
        W = change.W
        before = _leading(lambda x: W @ x, lambda y: W.T @ y, W, _REFERENCE)
        after = _leading(change.times, change.transposed_times, W, leading)
    cosines = (before.T @ after).abs()  # (n, k)
    return int((cosines.max(0).values < threshold).sum())


def _leading(times: Any, transposed_times: Any, like: Tensor, count: int) -> Tensor:
    """The first left singular vectors ``(out, count)`` of a matrix known by its products."""
    width = min(2 * count + 10, *like.shape)
    draw = torch.Generator(device=like.device).manual_seed(0)
    start = torch.randn(like.shape[1], width, generator=draw, device=like.device)
    basis = torch.linalg.qr(times(start)).Q  # (out, width)
    for _ in range(_PASSES):
        basis = torch.linalg.qr(times(torch.linalg.qr(transposed_times(basis)).Q)).Q
    small = torch.linalg.svd(transposed_times(basis).T, full_matrices=False).U  # (width, …)
    return (basis @ small)[:, :count]


@torch.inference_mode()
def applied(lm: LanguageModel, stack: lora.Stack, index: int) -> dict[str, float]:
    """Whether an adapter acts at all: its largest change of a logit on one prompt.

    Args:
        lm: the base model.
        stack: holds the adapter; attached or not.
        index: which adapter.

    Returns:
        ``logit_difference``: the largest absolute difference between the logits with the adapter
        and without it. `lorepack.lora.verify_applied` compares with the merged weights besides.

    Raises:
        NumericError: a logit is NaN or infinite.
    """
    ids = torch.tensor([lm.chat.prompt_ids(QUESTION.format(q="Was this adapter applied?"))])
    inputs: dict[str, Any] = {"input_ids": ids.to(lm.device), "use_cache": False}
    with stack.attached(), stack.using(None):
        base = lm.model(**inputs).logits.float()  # (1, T, V)
        with stack.using(index):
            adapted = lm.model(**inputs).logits.float()
    difference = float((adapted - base).abs().max())
    if not math.isfinite(difference):
        raise NumericError("the adapter's logits hold NaN or infinity")
    return {"logit_difference": difference}
