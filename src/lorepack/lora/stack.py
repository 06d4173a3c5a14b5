"""Many adapters on one frozen model: batched factors, and rows that carry their adapter.

The base's matrix products run once for all rows; each adapter adds s · (x A) B to its own rows.
One adapter is a stack of one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lorepack.errors import InputError
from lorepack.lora.dropout import keep_mask, mask_key
from lorepack.lora.kinds import Part, parts_of, with_kinds
from lorepack.lora.pissa import Decompositions, plain_spec
from lorepack.lora.site import Factors, Site, site_of
from lorepack.lora.spec import AdapterSpec


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
    parts: tuple[Part, ...]
    """those whose adapters do more than LoRA"""


class Stack:
    """n adapters of mixed rank, scale, targets and dropout on one frozen model.

    Args:
        model: the frozen base; its weights are never written.
        specs: one a adapter.
        seeds: one an adapter, for its first factors and its dropout. What an adapter draws does
            not depend on the others.
        found: decompositions that another stack of this model has made, for PiSSA.

    A starts uniform in ±1/√in, as PEFT's does (Kaiming, a = √5); B starts at zero. Other
    beginnings: see `AdapterSpec.init`.

    Raises:
        InputError: as many seeds as specs are needed; a target must be linear.
        MismatchError: the model lacks a target.
    """

    def __init__(
        self,
        model: nn.Module,
        specs: Sequence[AdapterSpec],
        seeds: Sequence[int],
        found: Decompositions | None = None,
    ) -> None:
        if len(specs) != len(seeds) or not specs:
            raise InputError(f"a stack needs one seed an adapter, got {len(specs)}, {len(seeds)}")
        self.model = model
        self.specs = tuple(specs)
        self.seeds = tuple(seeds)
        names = sorted({target for spec in specs for target in spec.targets})
        self.decompositions = found = found or Decompositions(model)
        self.sites = {n: site_of(model, n, self.specs, self.seeds, found) for n in names}
        self._training = False
        self._before = 0
        self._steps = (0,) * len(specs)
        self._choice: int | _Rows | None = None
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def __len__(self) -> int:
        return len(self.specs)

    @property
    def A(self) -> dict[str, nn.Parameter]:  # noqa: N802
        """target -> the A factors of its adapters, (m, in, R)."""
        return {name: site.A for name, site in self.sites.items()}

    @property
    def B(self) -> dict[str, nn.Parameter]:  # noqa: N802
        """target -> the B factors of its adapters, (m, R, out)."""
        return {name: site.B for name, site in self.sites.items()}

    def parameters(self) -> Iterator[nn.Parameter]:
        """All that is trained, in the order of the targets' names: A, B, magnitudes."""
        for site in self.sites.values():
            for _, _, parameter in site.trained():
                yield parameter

    def factors(self, index: int) -> Factors:
        """Copies of one adapter's factors, without padding, in the shapes of PEFT's files."""
        spec = self.specs[self._checked(index)]
        return {name: self._factor(self.sites[name], index) for name in spec.targets}

    def _factor(self, site: Site, index: int) -> tuple[Tensor, ...]:
        slot, rank = site.slots[index], self.specs[index].rank_of(site.name)
        found = [site.A.detach()[slot, :, :rank].T, site.B.detach()[slot, :rank].T]
        if site.magnitudes is not None and index in site.magnitudes.slots:
            found.append(site.magnitudes.values.detach()[site.magnitudes.slots[index], 0])
        return tuple(f.clone(memory_format=torch.contiguous_format) for f in found)

    def plain(self, index: int) -> tuple[AdapterSpec, Factors]:
        """An adapter as files hold it, for the base as it is.

        PiSSA's B A - B0 A0 becomes one LoRA of twice the rank; others are what they are.
        """
        spec, factors = self.specs[self._checked(index)], self.factors(index)
        if spec.init != "pissa":
            return spec, factors
        for name, (lora_A, lora_B) in factors.items():
            principal, rank = self.sites[name].principal, spec.rank_of(name)
            assert principal is not None
            slot = principal.slots[index]
            A0, B0 = principal.A[slot, :, :rank].T, principal.B[slot, :rank].T
            factors[name] = torch.cat([lora_A, A0]), torch.cat([lora_B, -B0], dim=1)
        return plain_spec(spec), factors

    def load_factors(self, index: int, factors: Mapping[str, tuple[Tensor, ...]]) -> None:
        """Write one adapter's factors; see `factors` for their shapes.

        Raises:
            InputError: the names are not exactly the adapter's targets, or a shape is wrong.
        """
        spec = self.specs[self._checked(index)]
        if set(factors) != set(spec.targets):
            odd = sorted(set(factors) ^ set(spec.targets))
            raise InputError(f"factors and targets differ in {len(odd)} modules: {odd[0]}, …")
        for name, given in factors.items():
            want = [tuple(factor.shape) for factor in self._factor(self.sites[name], index)]
            got = [tuple(factor.shape) for factor in given]
            if got != want:
                raise InputError(
                    f"{name}: factors of shape {' and '.join(map(str, got))}, "
                    f"expected {' and '.join(map(str, want))}"
                )
        with torch.no_grad():
            for name, (lora_A, lora_B, *magnitude) in factors.items():
                site, rank = self.sites[name], spec.rank_of(name)
                slot = site.slots[index]
                site.A[slot].zero_()[:, :rank] = lora_A.T.to(site.A)
                site.B[slot].zero_()[:rank] = lora_B.T.to(site.B)
                if site.magnitudes is not None and magnitude:
                    site.magnitudes.values[site.magnitudes.slots[index], 0] = magnitude[0].to(
                        site.A
                    )

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
                self._handles.append(site.module.register_forward_hook(_Hook(self, site)))
            yield self
        finally:
            for handle in self._handles:
                handle.remove()
            self._handles.clear()

    def _add(self, site: Site, x: Tensor, out: Tensor) -> Tensor | None:
        choice = self._choice
        if isinstance(choice, _Rows):
            return self._add_rows(site, x, out, choice)
        if choice is None or choice not in site.slots:
            return None
        return self._add_one(site, x, out, choice)

    def _add_one(self, site: Site, x: Tensor, out: Tensor, index: int) -> Tensor:
        """All rows carry one adapter: two plain products. x (…, in), out (…, out)."""
        spec, slot = self.specs[index], site.slots[index]
        rank = spec.rank_of(site.name)
        A, B = site.A[slot, :, :rank], site.B[slot, :rank]
        scale = spec.scale_of(site.name)
        whole = x = x.to(A.dtype)
        if self._training and spec.dropout:
            x = self._drop(site, x, (index,) * x.shape[0], tuple(range(x.shape[0])))
            scale /= 1 - spec.dropout
        low = x.flatten(0, -2) @ A  # (N, r)
        if out.dtype == B.dtype:
            sums = torch.addmm(out.flatten(0, -2), low, B, alpha=scale).view(out.shape)
        else:
            sums = out + ((low * scale) @ B).view(out.shape)
        for part in parts_of(site, self.specs, index):
            sums = with_kinds(site, part, self._training, whole, x, out, sums)
        return sums.to(out.dtype)

    def _add_rows(self, site: Site, x: Tensor, out: Tensor, rows: _Rows) -> Tensor | None:
        """Every row its own adapter: factors are gathered by row. x (B, T, in)."""
        if x.ndim != 3 or x.shape[0] != len(rows.adapters):
            raise InputError(
                f"{site.name}: input of shape {tuple(x.shape)} for {len(rows.adapters)} rows; "
                f"expected ({len(rows.adapters)}, T, in)"
            )
        plan = _plan(rows, site, self.specs, x.device)
        if not plan.adapters:
            return None
        specs = [self.specs[i] for i in plan.adapters]
        scales = [spec.scale_of(site.name) for spec in specs]
        x = (x if plan.rows is None else x.index_select(0, plan.rows)).to(site.A.dtype)
        whole = x
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
        fits = mine.dtype == B.dtype
        sums = torch.baddbmm(mine, low, B) if fits else mine + torch.bmm(low, B)  # (b, T, out)
        for part in plan.parts:
            sums = with_kinds(site, part, self._training, whole, x, mine, sums)
        sums = sums.to(out.dtype)
        return sums if plan.rows is None else out.index_copy(0, plan.rows, sums)

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


@dataclass(frozen=True, eq=False)
class _Hook:
    """Lets a stack add its adapters to what one module gives."""

    stack: Stack
    site: Site

    def __call__(self, _: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor | None:
        return self.stack._add(self.site, args[0], out)


def is_adapted(module: nn.Module) -> bool:
    """Whether an attached stack has adapters on this very module."""
    return any(isinstance(hook, _Hook) for hook in module._forward_hooks.values())


def _plan(rows: _Rows, site: Site, specs: Sequence[AdapterSpec], device: torch.device) -> _Plan:
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
            parts_of(site, specs, adapters),
        )
    return rows.plans[site.name]
