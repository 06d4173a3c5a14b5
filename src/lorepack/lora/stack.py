"""Many adapters on one frozen model: batched factors, and rows that carry their adapter.

The base's matrix products run once for all rows; each adapter adds s · (x A) B to its own rows.
One adapter is a stack of one.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lorepack.errors import InputError
from lorepack.lora.dropout import keep_mask, mask_key
from lorepack.lora.spec import AdapterSpec, module_of
from lorepack.lora.targets import sizes

Factors = dict[str, tuple[Tensor, Tensor]]
"""target -> (lora_A (r, in), lora_B (out, r)), the shapes of PEFT's files"""


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


@dataclass(frozen=True, eq=False)
class _Rows:
    """Which adapter each batch row carries, and its number within that adapter's own rows."""

    adapters: tuple[int, ...]
    numbers: tuple[int, ...]
    plans: dict[str, _Plan] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Plan:
    """The rows that one site acts on."""

    rows: Tensor | None
    """(b,) rows whose adapter targets the site; None for all"""
    adapters: tuple[int, ...]
    numbers: tuple[int, ...]
    slots: Tensor
    """(b,)"""
    in_order: bool
    """whether the rows are the site's adapters, one each, in the order of their factors"""


class Stack:
    """n adapters of mixed rank, scale, targets and dropout on one frozen model.

    Args:
        model: the frozen base; its weights are never written.
        specs: one a adapter.
        seeds: one an adapter, for its first factors and its dropout. What an adapter draws does
            not depend on the others.

    A starts uniform in ±1/√in, as PEFT's does (Kaiming, a = √5); B starts at zero.

    Raises:
        InputError: as many seeds as specs are needed; a target must be linear.
        MismatchError: the model lacks a target.
    """

    def __init__(
        self, model: nn.Module, specs: Sequence[AdapterSpec], seeds: Sequence[int]
    ) -> None:
        if len(specs) != len(seeds) or not specs:
            raise InputError(f"a stack needs one seed an adapter, got {len(specs)}, {len(seeds)}")
        self.model = model
        self.specs = tuple(specs)
        self.seeds = tuple(seeds)
        names = sorted({target for spec in specs for target in spec.targets})
        self.sites = {name: self._site(name) for name in names}
        self._training = False
        self._before = 0
        self._steps = (0,) * len(specs)
        self._choice: int | _Rows | None = None
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __len__(self) -> int:
        return len(self.specs)

    def _site(self, name: str) -> Site:
        module = module_of(self.model, name)
        width, out = sizes(module)
        weight: Tensor = module.weight  # type: ignore[assignment]
        members = [i for i, spec in enumerate(self.specs) if name in spec.targets]
        rank = max(self.specs[i].rank_of(name) for i in members)
        # Never below fp32: bf16 factors would lose the small updates of late training.
        dtype = torch.promote_types(
            weight.dtype if weight.is_floating_point() else torch.float32, torch.float32
        )
        A = torch.zeros(len(members), width, rank, dtype=dtype)
        for slot, index in enumerate(members):
            first = _first_a(self.seeds[index], name, self.specs[index].rank_of(name), width)
            A[slot, :, : first.shape[0]] = first.T
        B = torch.zeros(len(members), rank, out, dtype=dtype)
        slots = {index: slot for slot, index in enumerate(members)}
        device = weight.device
        return Site(name, module, nn.Parameter(A.to(device)), nn.Parameter(B.to(device)), slots)

    @property
    def A(self) -> dict[str, nn.Parameter]:  # noqa: N802
        """target -> the A factors of its adapters, (m, in, R)."""
        return {name: site.A for name, site in self.sites.items()}

    @property
    def B(self) -> dict[str, nn.Parameter]:  # noqa: N802
        """target -> the B factors of its adapters, (m, R, out)."""
        return {name: site.B for name, site in self.sites.items()}

    def parameters(self) -> Iterator[nn.Parameter]:
        """All factors, in the order of the targets' names, A before B."""
        for site in self.sites.values():
            yield site.A
            yield site.B

    def factors(self, index: int) -> Factors:
        """Copies of one adapter's factors, without padding, in the shapes of PEFT's files."""
        spec = self.specs[self._checked(index)]
        found: Factors = {}
        for name in spec.targets:
            site, rank = self.sites[name], spec.rank_of(name)
            slot = site.slots[index]
            lora_A = site.A.detach()[slot, :, :rank].T.clone(memory_format=torch.contiguous_format)
            lora_B = site.B.detach()[slot, :rank].T.clone(memory_format=torch.contiguous_format)
            found[name] = (lora_A, lora_B)
        return found

    def load_factors(self, index: int, factors: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Write one adapter's factors; see `factors` for their shapes.

        Raises:
            InputError: the names are not exactly the adapter's targets, or a shape is wrong.
        """
        spec = self.specs[self._checked(index)]
        if set(factors) != set(spec.targets):
            odd = sorted(set(factors) ^ set(spec.targets))
            raise InputError(f"factors and targets differ in {len(odd)} modules: {odd[0]}, …")
        for name, (lora_A, lora_B) in factors.items():
            site, rank = self.sites[name], spec.rank_of(name)
            want = ((rank, site.A.shape[1]), (site.B.shape[2], rank))
            if (tuple(lora_A.shape), tuple(lora_B.shape)) != want:
                got = f"{tuple(lora_A.shape)} and {tuple(lora_B.shape)}"
                raise InputError(
                    f"{name}: factors of shape {got}, expected {want[0]} and {want[1]}"
                )
        with torch.no_grad():
            for name, (lora_A, lora_B) in factors.items():
                site, rank = self.sites[name], spec.rank_of(name)
                slot = site.slots[index]
                site.A[slot].zero_()[:, :rank] = lora_A.T.to(site.A)
                site.B[slot].zero_()[:rank] = lora_B.T.to(site.B)

    def use(self, which: int | Sequence[int] | Tensor | None) -> None:
        """Say which adapter each batch row carries.

        Args:
            which: one adapter for all rows of any batch; or one entry a row, int (B,), -1 for
                none; or None, which gives the base's own outputs, bit for bit.

        Raises:
            InputError: an adapter that the stack does not hold.
        """
        if which is None or isinstance(which, int):
            self._choice = None if which is None else self._checked(which)
            return
        adapters = tuple(int(i) for i in which)
        if len(set(adapters)) == 1:  # plain products serve one adapter faster than gathered ones
            self.use(None if adapters[0] == -1 else adapters[0])
            return
        seen: dict[int, int] = {}
        numbers = []
        for adapter in adapters:
            if adapter != -1:
                self._checked(adapter)
            numbers.append(seen.get(adapter, 0))
            seen[adapter] = numbers[-1] + 1
        self._choice = _Rows(adapters, tuple(numbers))

    @contextmanager
    def using(
        self,
        which: int | Sequence[int] | Tensor | None,
        train: bool = False,
        before: int = 0,
    ) -> Iterator[Stack]:
        """`use` and `train` for the block, then as before.

        Args:
            which: see `use`.
            train: whether dropout acts.
            before: rows of each adapter that its step had in earlier passes: dropout goes on.
        """
        earlier = self._choice, self._training, self._before
        try:
            self.use(which)
            self.train(train)
            self._before = before
            yield self
        finally:
            self._choice, self._training, self._before = earlier

    def train(self, on: bool = True) -> None:
        """Switch dropout on or off; it is off at first."""
        self._training = on

    def set_step(self, step: int | Sequence[int]) -> None:
        """Set the step that dropout masks are keyed by: one for all adapters, or one for each."""
        self._steps = (step,) * len(self) if isinstance(step, int) else tuple(step)
        assert len(self._steps) == len(self)

    @contextmanager
    def attached(self) -> Iterator[Stack]:
        """Hook the stack into the model for the block; inside, `use` decides what acts."""
        if self._handles:  # already on: the outer block takes it off
            yield self
            return
        try:
            for site in self.sites.values():
                self._handles.append(site.module.register_forward_hook(self._hook(site)))
            yield self
        finally:
            for handle in self._handles:
                handle.remove()
            self._handles.clear()

    def _hook(self, site: Site) -> Callable[..., Tensor | None]:
        def add(_: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor | None:
            choice = self._choice
            if isinstance(choice, _Rows):
                return self._add_rows(site, args[0], out, choice)
            if choice is None or choice not in site.slots:
                return None
            return self._add_one(site, args[0], out, choice)

        return add

    def _add_one(self, site: Site, x: Tensor, out: Tensor, index: int) -> Tensor:
        """All rows carry one adapter: two plain products. x (…, in), out (…, out)."""
        spec, slot = self.specs[index], site.slots[index]
        rank = spec.rank_of(site.name)
        A, B = site.A[slot, :, :rank], site.B[slot, :rank]
        scale = spec.scale_of(site.name)
        x = x.to(A.dtype)
        if self._training and spec.dropout:
            x = self._drop(site, x, (index,) * x.shape[0], tuple(range(x.shape[0])))
            scale /= 1 - spec.dropout
        low = x.flatten(0, -2) @ A  # (N, r)
        if out.dtype == B.dtype:
            return torch.addmm(out.flatten(0, -2), low, B, alpha=scale).view(out.shape)
        return (out + ((low * scale) @ B).view(out.shape)).to(out.dtype)

    def _add_rows(self, site: Site, x: Tensor, out: Tensor, rows: _Rows) -> Tensor | None:
        """Every row its own adapter: factors are gathered by row. x (B, T, in)."""
        if x.ndim != 3 or x.shape[0] != len(rows.adapters):
            raise InputError(
                f"{site.name}: input of shape {tuple(x.shape)} for {len(rows.adapters)} rows; "
                f"expected ({len(rows.adapters)}, T, in)"
            )
        plan = _plan(rows, site, x.device)
        if not plan.adapters:
            return None
        specs = [self.specs[i] for i in plan.adapters]
        scales = [spec.scale_of(site.name) for spec in specs]
        x = (x if plan.rows is None else x.index_select(0, plan.rows)).to(site.A.dtype)
        if self._training and any(spec.dropout for spec in specs):
            x = self._drop(site, x, plan.adapters, plan.numbers)
            scales = [s / (1 - spec.dropout) for s, spec in zip(scales, specs, strict=True)]
        A: Tensor = site.A
        B: Tensor = site.B
        if not plan.in_order:
            A, B = A.index_select(0, plan.slots), B.index_select(0, plan.slots)
        scale = torch.tensor(scales, dtype=x.dtype, device=x.device)[:, None, None]
        low = torch.bmm(x, A) * scale  # (b, T, R)
        mine = out if plan.rows is None else out.index_select(0, plan.rows)
        if mine.dtype == B.dtype:
            mine = torch.baddbmm(mine, low, B)  # (b, T, out)
        else:
            mine = (mine + torch.bmm(low, B)).to(out.dtype)
        return mine if plan.rows is None else out.index_copy(0, plan.rows, mine)

    def _drop(
        self, site: Site, x: Tensor, adapters: tuple[int, ...], numbers: tuple[int, ...]
    ) -> Tensor:
        """Zero the dropped elements of x (B, …, in); the caller scales by 1/(1 - p)."""
        kinds = {i: mask_key(self.seeds[i], self._steps[i], site.name) for i in set(adapters)}
        device = x.device
        keep = keep_mask(
            torch.tensor([kinds[i] for i in adapters], device=device),
            torch.tensor(numbers, device=device) + self._before,
            torch.tensor(
                [self.specs[i].dropout for i in adapters], dtype=torch.float64, device=device
            ),
            math.prod(x.shape[1:-1]),
            x.shape[-1],
        )
        return torch.where(keep.view(x.shape), x, 0)

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise InputError(f"adapter {index} of a stack that holds 0 to {len(self) - 1}")
        return index


def _plan(rows: _Rows, site: Site, device: torch.device) -> _Plan:
    if site.name not in rows.plans:
        kept = [row for row, adapter in enumerate(rows.adapters) if adapter in site.slots]
        adapters = tuple(rows.adapters[row] for row in kept)
        slots = [site.slots[a] for a in adapters]
        rows.plans[site.name] = _Plan(
            None if len(kept) == len(rows.adapters) else torch.tensor(kept, device=device),
            adapters,
            tuple(rows.numbers[row] for row in kept),
            torch.tensor(slots, dtype=torch.long, device=device),
            slots == list(range(len(site.slots))),
        )
    return rows.plans[site.name]


def _first_a(seed: int, name: str, rank: int, width: int) -> Tensor:
    """The first lora_A (rank, width) of one module, from its own seed and name alone."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    draw = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
    bound = 1 / math.sqrt(width)
    return torch.empty(rank, width).uniform_(-bound, bound, generator=draw)
