"""How strongly an adapter acts, set after training: the points that a budget chooses among.

Partial adaptation (Fleshman and Van Durme 2024, re-adapt) adds λ·ΔW in place of ΔW. That is the
same adapter at alpha·λ, so that one stack holds the same factors at many strengths, and a file at
the chosen one is an ordinary adapter. Strength may differ between the lower, middle and upper
third of the layers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from lorepack.lora import AdapterSpec, Factors
from lorepack.lora.base_weight import dense
from lorepack.lora.spec import module_of

THIRDS = ("lower", "middle", "upper")
FINAL = "final"
_LAYER = re.compile(r"\.(\d+)\.")


@dataclass(frozen=True, order=True)
class Point:
    """A checkpoint of an adapter at a strength."""

    checkpoint: int | str
    """the epoch, or `FINAL`"""
    strength: float
    """λ: 1 is the adapter as it was trained, 0 would be the base"""
    layers: tuple[float, float, float] | None = None
    """λ of each of `THIRDS`, where they differ"""

    @property
    def of_thirds(self) -> tuple[float, float, float]:
        """λ of each of `THIRDS`."""
        return self.layers or (self.strength,) * 3

    @property
    def as_trained(self) -> bool:
        """Whether it is the adapter that training left."""
        return self.checkpoint == FINAL and set(self.of_thirds) == {1.0}

    def to_json(self) -> dict[str, Any]:
        """``checkpoint``, ``strength`` and ``layers`` (text, or None where all are alike)."""
        told = None
        if self.layers is not None:
            told = ", ".join(f"{n} {x:g}" for n, x in zip(THIRDS, self.layers, strict=True))
        return {"checkpoint": self.checkpoint, "strength": self.strength, "layers": told}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Point:
        """The point that `to_json` wrote."""
        layers = row["layers"] and [float(part.split()[1]) for part in row["layers"].split(", ")]
        return cls(row["checkpoint"], row["strength"], tuple(layers) if layers else None)


def grid(checkpoints: Iterable[int | str], strengths: Sequence[float]) -> list[Point]:
    """Every checkpoint at every strength."""
    return [Point(name, strength) for name in checkpoints for strength in strengths]


def around(point: Point, third: int, factors: Sequence[float]) -> list[Point]:
    """A point with the strength of one third of the layers changed.

    Args:
        point: to start from.
        third: place in `THIRDS`.
        factors: what the strength of that third is multiplied by.
    """
    found = []
    for factor in factors:
        strengths = list(point.of_thirds)
        strengths[third] = round(strengths[third] * factor, 6)
        found.append(replace(point, layers=(strengths[0], strengths[1], strengths[2])))
    return found


def third_of(targets: Iterable[str]) -> dict[str, int]:
    """The place in `THIRDS` of every target, by the number of its layer among those targeted.

    What belongs to no layer, such as an output head, counts as upper.
    """
    numbers = {name: _LAYER.search(name) for name in targets}
    layers = sorted({int(found[1]) for found in numbers.values() if found})
    place = {layer: 3 * i // len(layers) for i, layer in enumerate(layers)}
    return {name: place[int(found[1])] if found else 2 for name, found in numbers.items()}


def at_strength(
    spec: AdapterSpec, factors: Factors, point: Point, model: nn.Module
) -> tuple[AdapterSpec, Factors]:
    """An adapter as weak or strong as a point says, as files hold it.

    Args:
        spec: of a plain adapter.
        factors: target -> ``A (r, in), B (out, r)``, of DoRA ``magnitude (out,)``.
        point: the strengths; its checkpoint is the caller's matter.
        model: the base, for the row norms that DoRA's magnitudes began from.

    Returns:
        The spec with alpha·λ, and the factors themselves; of DoRA with magnitudes
        n + λ (m - n), n the row norms of the base's weights: λ = 0 would be the base there, too.
    """
    places, strengths = third_of(spec.targets), point.of_thirds
    each = {name: strengths[places[name]] for name in spec.targets}
    alpha = spec.alpha * point.strength
    alphas = {name: spec.alpha_of(name) * each[name] for name in spec.targets}
    weaker = replace(
        spec, alpha=alpha, alphas={name: value for name, value in alphas.items() if value != alpha}
    )
    if spec.kind != "dora":
        return weaker, factors
    changed: Factors = {}
    for name, (lora_A, lora_B, magnitude) in factors.items():
        weight = dense(module_of(model, name), torch.float32)  # (out, in)
        norm = torch.linalg.vector_norm(weight, dim=1).to(magnitude)
        changed[name] = lora_A, lora_B, norm + each[name] * (magnitude - norm)
    return weaker, changed


def size_of(factors: Factors) -> int:
    """Bytes of an adapter's factors in fp32."""
    return sum(4 * part.numel() for parts in factors.values() for part in parts)
