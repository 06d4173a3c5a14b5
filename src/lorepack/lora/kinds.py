"""What PiSSA and DoRA do to the rows of their adapters, on top of what LoRA does to all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lorepack.lora.site import Site
from lorepack.lora.spec import AdapterSpec


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of a batch whose adapters compute in the same way beyond LoRA."""

    rows: Tensor | None
    """int64 (j,); None for all"""
    principal: int | Tensor | None
    """the place, or those of each row (j,), in the site's `Principal`"""
    magnitudes: int | Tensor | None
    """the place, or those of each row (j,), in the site's `Magnitudes`"""
    kept: float | Tensor | None
    """share of the input, of each row (j, 1, 1), that dropout keeps; None where there is none"""


def parts_of(
    site: Site, specs: Sequence[AdapterSpec], rows: int | Sequence[int]
) -> tuple[Part, ...]:
    """The rows that do more than LoRA, by what they do; none in a stack of plain LoRA.

    Args:
        site: where.
        specs: of the stack's adapters.
        rows: the adapter of all rows, or of each.
    """
    principal = site.principal.slots if site.principal else {}
    magnitudes = site.magnitudes.slots if site.magnitudes else {}
    if not (principal or magnitudes):
        return ()
    if isinstance(rows, int):
        if rows not in principal and rows not in magnitudes:
            return ()
        kept = 1 - specs[rows].dropout if specs[rows].dropout else None
        return (Part(None, principal.get(rows), magnitudes.get(rows), kept),)
    device, dtype = site.A.device, site.A.dtype

    def part(chosen: list[int], slots: dict[int, int], drops: bool = False) -> Part:
        adapters = [rows[row] for row in chosen]
        places = torch.tensor([slots[a] for a in adapters], device=device)
        which = None if len(chosen) == len(rows) else torch.tensor(chosen, device=device)
        if slots is principal:
            return Part(which, places, None, None)
        kept = torch.tensor([1 - specs[a].dropout for a in adapters], dtype=dtype, device=device)
        return Part(which, None, places, kept[:, None, None] if drops else None)

    found = []
    if chosen := [row for row, a in enumerate(rows) if a in principal]:
        found.append(part(chosen, principal))
    for drops in (False, True):
        mine = [
            r for r, a in enumerate(rows) if a in magnitudes and bool(specs[a].dropout) == drops
        ]
        if mine:
            found.append(part(mine, magnitudes, drops))
    return tuple(found)


def with_kinds(
    site: Site, part: Part, training: bool, whole: Tensor, x: Tensor, out: Tensor, sums: Tensor
) -> Tensor:
    """The outputs with those of a part's rows put right.

    Args:
        site: where.
        part: which rows.
        training: whether dropout is on.
        whole: (b, T, in), the input.
        x: (b, T, in), the input, dropped elements zero, the rest not yet scaled up.
        out: (b, T, out), what the base gives.
        sums: (b, T, out), what LoRA gives; at least fp32.
    """
    rows = part.rows
    mine = _of(sums, rows)
    if part.principal is not None:
        assert site.principal is not None
        mine = mine - site.principal.product(_of(whole, rows), part.principal)
    if part.magnitudes is not None:
        assert site.magnitudes is not None
        if training and part.kept is not None:
            # As in PEFT: the base's own term stands, what rescales it sees the dropped input.
            again = site.module.forward(_of(x, rows).to(out.dtype))
            again = _unbiased(site, again).to(mine.dtype) / part.kept
            linear = again + (mine - _of(out, rows))
        else:
            linear = _unbiased(site, mine)
        mine = site.magnitudes.rescaled(mine, linear, site.A, site.B, part.magnitudes)
    return mine if rows is None else sums.index_copy(0, rows, mine)


def _of(tensor: Tensor, rows: Tensor | None) -> Tensor:
    return tensor if rows is None else tensor.index_select(0, rows)


def _unbiased(site: Site, out: Tensor) -> Tensor:
    bias = getattr(site.module, "bias", None)
    return out if bias is None else out - bias
