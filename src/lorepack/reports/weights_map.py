"""How much the adapter changed every layer's weights, as a small heat map of layers and modules."""

from __future__ import annotations

from dataclasses import dataclass

from lorepack.reports import figures as fig
from lorepack.reports.drift_file import Module, Weights

ORDER = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""modules in the order in which a block uses them; others come after, sorted"""


@dataclass(frozen=True)
class Cell:
    """One module of one layer."""

    text: str
    title: str
    css: str
    intruders: int


@dataclass(frozen=True)
class WeightMap:
    """Layers as rows, kinds of modules as columns; a cell is None where there is no adapter."""

    kinds: tuple[str, ...]
    layers: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    relative: bool
    """whether a cell is ‖ΔW‖ / ‖W‖; else it is ‖ΔW‖"""


def weight_map(weights: Weights) -> WeightMap | None:
    """The map of all modules; None when none is listed."""
    if not weights.modules:
        return None
    found = {(one.layer, one.kind or one.name): one for one in weights.modules}
    relative = all(one.relative is not None for one in weights.modules)
    most = max(_size(one, relative) for one in weights.modules) or 1.0
    rank = {kind: number for number, kind in enumerate(ORDER)}
    kinds = sorted({kind for _, kind in found}, key=lambda kind: (rank.get(kind, len(rank)), kind))
    layers = sorted({layer for layer, _ in found}, key=lambda layer: (layer is None, layer or 0))
    rows = tuple(
        (
            "other" if layer is None else str(layer),
            tuple(_cell(found.get((layer, kind)), relative, most) for kind in kinds),
        )
        for layer in layers
    )
    return WeightMap(tuple(kinds), rows, relative)


def _size(module: Module, relative: bool) -> float:
    return (module.relative or 0.0) if relative else module.norm


def _cell(module: Module | None, relative: bool, most: float) -> Cell | None:
    if module is None:
        return None
    size = _size(module, relative)
    level = 0 if not size else 1 + min(3, int(4 * size / most))
    title = f"{module.name}: ‖ΔW‖ {fig.real(module.norm)}"
    if module.relative is not None:
        title += f", {fig.percent(module.relative)} of ‖W‖"
    title += f", rank {module.rank}"
    if module.intruders is not None:
        title += f", intruder dimensions {module.intruders}"
    text = fig.percent(size) if relative and size <= 1 else fig.real(size)
    return Cell(text, title, f"better l{level}", module.intruders or 0)
