"""One adapted module and the tensors of every adapter that targets it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lorepack.lora.dora import Magnitudes
from lorepack.lora.pissa import Decompositions, Principal, scaled_factors
from lorepack.lora.spec import AdapterSpec, module_of
from lorepack.lora.targets import sizes

Factors = dict[str, tuple[Tensor, ...]]
"""target -> (lora_A (r, in), lora_B (out, r)) and, for DoRA, the magnitudes (out,) as a third: the
shapes of PEFT's files"""


@dataclass(eq=False)
class Site:
    """One adapted module and the factors of every adapter that targets it.

    Ranks are padded with zeros to the largest one. A padded column of A meets a padded row of B,
    so both gradients are exactly zero and the padding never trains.
    """

    name: str
    module: nn.Module
    A: nn.Parameter
    """(m, in, R), m the adapters that target this module"""
    B: nn.Parameter
    """(m, R, out)"""
    slots: dict[int, int]
    """adapter -> its place in A and B"""
    magnitudes: Magnitudes | None
    """of the adapters that are DoRA"""
    principal: Principal | None
    """of the adapters that began as PiSSA"""

    def trained(self) -> Iterator[tuple[str, dict[int, int], nn.Parameter]]:
        """What training changes: its name, the place of each adapter, the parameter."""
        yield "A", self.slots, self.A
        yield "B", self.slots, self.B
        if self.magnitudes is not None:
            yield "magnitude", self.magnitudes.slots, self.magnitudes.values

    def tensors(self) -> Iterator[tuple[str, dict[int, int], Tensor]]:
        """`trained`, and what is an adapter's own but stays as it began."""
        yield from self.trained()
        if self.principal is not None:
            yield "A0", self.principal.slots, self.principal.A
            yield "B0", self.principal.slots, self.principal.B


def site_of(
    model: nn.Module,
    name: str,
    specs: Sequence[AdapterSpec],
    seeds: Sequence[int],
    found: Decompositions,
) -> Site:
    """The site of one module, with the first factors of the adapters that target it."""
    module = module_of(model, name)
    width, out = sizes(module)
    weight: Tensor = module.weight  # type: ignore[assignment]
    members = [i for i, spec in enumerate(specs) if name in spec.targets]
    rank = max(specs[i].rank_of(name) for i in members)
    # Never below fp32: bf16 factors would lose the small updates of late training.
    dtype = torch.promote_types(
        weight.dtype if weight.is_floating_point() else torch.float32, torch.float32
    )
    A = torch.zeros(len(members), width, rank, dtype=dtype)
    B = torch.zeros(len(members), rank, out, dtype=dtype)
    dora = [i for i in members if specs[i].kind == "dora"]
    pissa = [i for i in members if specs[i].init == "pissa"]
    if pissa:  # one decomposition serves all: smaller ranks are the beginning of the largest
        found.top(name, max(specs[i].rank_of(name) for i in pissa), dtype)
    for slot, index in enumerate(members):
        spec, seed = specs[index], seeds[index]
        mine = spec.rank_of(name)
        if spec.init == "pissa":
            lora_A, lora_B = scaled_factors(found, name, spec, dtype)
            A[slot, :, :mine], B[slot, :mine] = lora_A.T, lora_B.T
        elif spec.init == "kaiming_B":
            B[slot, :mine] = _drawn(seed, name, mine, out)
        else:
            A[slot, :, :mine] = _drawn(seed, name, mine, width).T
    A, B = A.to(weight.device), B.to(weight.device)
    slots = {index: slot for slot, index in enumerate(members)}

    def of_kind(chosen: list[int]) -> tuple[dict[int, int], list[float]]:
        return {i: slots[i] for i in chosen}, [specs[i].scale_of(name) for i in chosen]

    return Site(
        name,
        module,
        nn.Parameter(A),
        nn.Parameter(B),
        slots,
        Magnitudes.of(module, *of_kind(dora), A) if dora else None,
        Principal.of(*of_kind(pissa), A, B) if pissa else None,
    )


def _drawn(seed: int, name: str, rank: int, width: int) -> Tensor:
    """The first factor (rank, width) of one module, from its own seed and name alone."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    draw = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
    bound = 1 / math.sqrt(width)
    return torch.empty(rank, width).uniform_(-bound, bound, generator=draw)
