"""The adapter after some of its epochs, kept so that a checkpoint can be chosen afterwards."""

from __future__ import annotations

from pathlib import Path

from lorepack.lora.adapter_files import CONFIG, ORIGIN, WEIGHTS

FOLDER = "epochs"
FILES = (CONFIG, ORIGIN, WEIGHTS)
MOST = 10
"""that are kept of a training, where the caller says no other number"""


def kept_epochs(epochs: int, most: int) -> frozenset[int]:
    """The epochs after which the adapter is kept: evenly spaced, all where they are few.

    Args:
        epochs: that are planned, at least 1. The last is not among those kept: the adapter after
            it is the result.
        most: that may be kept.
    """
    return frozenset(number * epochs // (most + 1) for number in range(1, most + 1)) - {0, epochs}


def place_of(out: Path, epoch: int) -> Path:
    """The folder of the adapter after an epoch."""
    return out / FOLDER / f"{epoch:03d}"


def snapshots_in(out: Path) -> dict[int, Path]:
    """The adapters that a training has kept, by epoch."""
    if not (out / FOLDER).is_dir():
        return {}
    found = (path for path in (out / FOLDER).iterdir() if path.name.isdecimal())
    whole = (path for path in found if all((path / name).is_file() for name in FILES))
    return {int(path.name): path for path in sorted(whole, key=lambda path: int(path.name))}
