"""What an adapter is, apart from its numbers: kind, rank, scale, targets, dropout."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import nn

from lorepack.errors import InputError, MismatchError
from lorepack.lora.targets import resolve, sizes

Kind = Literal["lora", "dora"]
Init = Literal["kaiming", "kaiming_B", "pissa"]


@dataclass(frozen=True)
class AdapterSpec:
    """One LoRA adapter: y = W x + scale · B A dropout(x) on every target.

    LoRA: Hu et al. 2021 (arXiv 2106.09685), eq. 3, with scale alpha/rank; rsLoRA: Kalajdzievski
    2023 (arXiv 2312.03732), with scale alpha/√rank. DoRA: see `lorepack.lora.dora`.

    Raises:
        InputError: DoRA that begins as PiSSA, a rank below 1, a scale that is not positive and
            finite, a dropout outside [0, 1), no targets, or an override for a module that is not
            a target.
    """

    rank: int
    alpha: float
    rslora: bool
    targets: tuple[str, ...]
    """full module names"""
    dropout: float = 0.0
    ranks: Mapping[str, int] = field(default_factory=dict, hash=False)
    """targets whose rank is not ``rank``"""
    alphas: Mapping[str, float] = field(default_factory=dict, hash=False)
    """targets whose alpha is not ``alpha``"""
    kind: Kind = "lora"
    init: Init = "kaiming"
    """how factors begin: A drawn and B zero; B drawn and A zero; the principal part of W"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "targets", tuple(sorted(set(self.targets))))
        if not self.targets:
            raise InputError("an adapter needs at least one target module, got none")
        for rank in (self.rank, *self.ranks.values()):
            if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
                raise InputError(f"rank {rank!r}: expected a whole number of at least 1")
        for alpha in (self.alpha, *self.alphas.values()):
            if not (math.isfinite(alpha) and alpha > 0):
                raise InputError(f"alpha {alpha!r}: expected a positive number")
        if not 0 <= self.dropout < 1:
            raise InputError(f"dropout {self.dropout!r}: expected at least 0 and below 1")
        if self.kind == "dora" and self.init == "pissa":
            raise InputError("kind dora with init pissa is not supported; choose one of the two")
        stray = sorted((set(self.ranks) | set(self.alphas)) - set(self.targets))
        if stray:
            raise InputError(f"rank or alpha given for {stray[0]}, which is not a target")

    @classmethod
    def for_model(
        cls,
        model: nn.Module,
        *,
        rank: int,
        alpha: float,
        rslora: bool = False,
        roles: str | Sequence[str] = ("mlp",),
        layers: tuple[int, int] | None = None,
        dropout: float = 0.0,
        kind: Kind = "lora",
        init: Init = "kaiming",
    ) -> AdapterSpec:
        """The spec of a new adapter of ``model``, its rank checked against every target.

        Raises:
            InputError: see `resolve` and `check_fits`.
        """
        targets = tuple(resolve(model, roles, layers))
        spec = cls(rank, alpha, rslora, targets, dropout, kind=kind, init=init)
        spec.check_fits(model)
        return spec

    @property
    def scale(self) -> float:
        """The factor on B A where no target has a rank or an alpha of its own."""
        return scale_of(self.rank, self.alpha, self.rslora)

    def rank_of(self, target: str) -> int:
        """The rank on one target."""
        return self.ranks.get(target, self.rank)

    def alpha_of(self, target: str) -> float:
        """The alpha on one target."""
        return self.alphas.get(target, self.alpha)

    def scale_of(self, target: str) -> float:
        """The factor on B A on one target."""
        return scale_of(self.rank_of(target), self.alpha_of(target), self.rslora)

    def require_plain(self) -> None:
        """Refuse a spec whose factors mean something else outside of their stack.

        Raises:
            InputError: the factors began as PiSSA and are relative to where they began.
        """
        if self.init == "pissa":
            raise InputError(
                "factors that began as PiSSA stand for B A - B0 A0, got B A alone; "
                "take spec and factors from Stack.plain"
            )

    def check_fits(self, model: nn.Module) -> None:
        """Refuse ranks that no matrix of the target's shape can have.

        Raises:
            InputError: a rank above the smaller side of a target's weight.
            MismatchError: a target that the model lacks.
        """
        for target in self.targets:
            width = min(sizes(module_of(model, target)))
            if self.rank_of(target) > width:
                raise InputError(
                    f"rank {self.rank_of(target)} is above the width of {target}: "
                    f"expected 1 to {width}"
                )


def scale_of(rank: int, alpha: float, rslora: bool) -> float:
    """alpha/rank, or alpha/√rank for rsLoRA."""
    return alpha / math.sqrt(rank) if rslora else alpha / rank


def module_of(model: nn.Module, name: str) -> nn.Module:
    """The submodule called ``name``.

    Raises:
        MismatchError: the model has none.
    """
    try:
        return model.get_submodule(name)
    except AttributeError:
        raise MismatchError(
            f"the model ({type(model).__name__}) has no module {name}: "
            f"this adapter was made for another architecture"
        ) from None
