"""DoRA: the direction of a weight is adapted by factors, its magnitude by a number a row.

Liu et al. 2024 (arXiv 2402.09353), eq. 5: W' = m · (W + s B A) / ‖W + s B A‖, one norm and one
magnitude for each output. The norm takes no gradient (section 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorepack.lora.base_weight import dense


@dataclass(eq=False)
class Magnitudes:
    """The magnitudes of the DoRA adapters of one module.

    They begin as the norms of W's rows, so that an untrained adapter changes nothing.
    """

    module: nn.Module
    values: nn.Parameter
    """(k, 1, out), k the DoRA adapters of the module"""
    scales: Tensor
    """(k, 1), the factor on B A"""
    slots: dict[int, int]
    """adapter -> its place in ``values``"""
    places: Tensor
    """int64 (k,), where these adapters stand in the module's A and B"""
    squares: Tensor
    """(out,), ‖W‖² of each row"""
    _norms: tuple[tuple[int, int], Tensor] | None = None

    @classmethod
    def of(
        cls, module: nn.Module, members: dict[int, int], scales: list[float], A: Tensor
    ) -> Magnitudes:
        """First magnitudes.

        Args:
            module: the frozen module.
            members: the DoRA adapters and their places in A.
            scales: of each, the factor on B A.
            A: (m, in, R), for dtype and device.
        """
        squares = dense(module, A.dtype).to(A.device).square().sum(1)  # (out,)
        values = squares.sqrt().expand(len(members), 1, -1).clone()
        return cls(
            module,
            nn.Parameter(values),
            torch.tensor(scales, dtype=A.dtype, device=A.device)[:, None],
            {adapter: slot for slot, adapter in enumerate(members)},
            torch.tensor(list(members.values()), device=A.device),
            squares,
        )

    def rescaled(
        self, sums: Tensor, linear: Tensor, A: Tensor, B: Tensor, which: int | Tensor
    ) -> Tensor:
        """y = sums + (m/‖W + s B A‖ - 1) · linear.

        Args:
            sums: (…, T, out), what LoRA gives: W x + s B A x and the bias.
            linear: (…, T, out), W x + s B A x alone, of the input after dropout.
            A: (m, in, R) of the module.
            B: (m, R, out).
            which: the place of the adapter, or int64 (b,) of each row's.
        """
        gain = (self.values / self._norms_now(A, B))[which] - 1  # (1, out) or (b, 1, out)
        return sums + gain * linear

    @torch.inference_mode(False)  # what is kept must serve training too
    @torch.no_grad()
    def _norms_now(self, A: Tensor, B: Tensor) -> Tensor:
        """(k, 1, out), computed anew only when a factor was written since."""
        version = (A._version, B._version)
        if self._norms is None or self._norms[0] != version:
            weight = dense(self.module, A.dtype).to(A.device)
            norms = row_norms(weight, self.squares, A[self.places], B[self.places], self.scales)
            # A row of zeros has no direction; whatever divides it, it stays zero.
            self._norms = version, torch.where(norms > 0, norms, 1)[:, None]
        return self._norms[1]


def row_norms(weight: Tensor, squares: Tensor, A: Tensor, B: Tensor, scales: Tensor) -> Tensor:
    """‖W + s B A‖ of each row, without a sum of W's size: ‖W‖² + 2s ⟨W, B A⟩ + s² ‖B A‖².

    Args:
        weight: W (out, in).
        squares: ‖W‖² (out,).
        A: (k, in, R).
        B: (k, R, out).
        scales: s (k, 1).

    Returns:
        (k, out).
    """
    count, width, rank = A.shape
    # One product with the factors of all adapters side by side.
    low = (weight @ A.transpose(0, 1).reshape(width, -1)).view(-1, count, rank)  # (out, k, R)
    inner = torch.einsum("okr,kro->ko", low, B)
    square = (A.transpose(1, 2) @ A @ B).mul_(B).sum(1)  # (k, out)
    return (squares + 2 * scales * inner + scales.square() * square).clamp(min=0).sqrt()
