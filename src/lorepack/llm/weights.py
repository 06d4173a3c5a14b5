"""The weight files of a model folder: what they hold, whether they are whole, what they hash to.

Only headers are read here and, for the fingerprint, bytes; tensors are made elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lorepack.errors import InputError, NotFoundError, NumericError
from lorepack.files import read_json

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_WHOLE = 512 * 2**20  # models up to this many bytes are hashed in full
_BLOCK = 4096  # bytes in a sampled block
_BLOCKS = 64  # sampled blocks of a tensor
_CHUNK = 2**24  # elements looked at in one go, so that a check needs little memory
# What a config says about its file's past and not about the function the model computes.
_PASSING = ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache")


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor as a safetensors file holds it; ``begin`` and ``end`` are byte offsets in it."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """Every tensor of a model folder by name, in sorted order, after the files were checked.

    Raises:
        NotFoundError: no weight file, or a shard that the index names is missing.
        InputError: weights only in a pickle format, a truncated file, or a tensor that the index
            promises and no shard holds.
    """
    promised: dict[str, str] = {}
    if (folder / INDEX).is_file():
        promised = read_json(folder / INDEX).get("weight_map", {})
        names = sorted(set(promised.values()))
    else:
        names = [SINGLE]
        if not (folder / SINGLE).is_file():
            raise _no_weights(folder)
    found: dict[str, Stored] = {}
    for name in names:
        if not (folder / name).is_file():
            raise NotFoundError(
                f"{folder / name}: missing, though {INDEX} names it as one of {len(names)} shards; "
                "copy or download the model again"
            )
        found.update(_header(folder / name))
    lost = sorted(set(promised) - set(found))
    if lost:
        where = folder / promised[lost[0]]
        raise InputError(f"{where}: tensor {lost[0]} is not in it, though {INDEX} says so")
    return dict(sorted(found.items()))


def _no_weights(folder: Path) -> Exception:
    pickled = sorted(p.name for p in folder.glob("*") if p.suffix in (".bin", ".pt", ".pth"))
    if pickled:
        return InputError(
            f"{folder}: weights only as {pickled[0]}, a pickle format, which is never loaded; "
            "convert once where you trust the file: AutoModelForCausalLM.from_pretrained(folder)"
            ".save_pretrained(new_folder) in transformers writes model.safetensors"
        )
    other = sorted(p.name for p in folder.glob("*.safetensors"))
    got = f"; found {', '.join(other[:3])}" if other else ""
    return NotFoundError(f"{folder}: no weights; expected {SINGLE} or {INDEX}{got}")


def _header(file: Path) -> dict[str, Stored]:
    """The tensors of one safetensors file; raises ``InputError`` when the file is not whole."""
    size = file.stat().st_size
    with open(file, "rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if size < 8 or length > size - 8:
            raise _truncated(file, f"a header of {length} bytes", size)
        try:
            header: dict[str, Any] = json.loads(handle.read(length))
            header.pop("__metadata__", None)
            tensors = {
                name: Stored(
                    file,
                    entry["dtype"],
                    tuple(entry["shape"]),
                    *(8 + length + offset for offset in entry["data_offsets"]),
                )
                for name, entry in header.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{file}: not a safetensors file ({error})") from error
    end = max((tensor.end for tensor in tensors.values()), default=8 + length)
    if end > size:
        raise _truncated(file, f"{end} bytes", size)
    return tensors


def _truncated(file: Path, expected: str, size: int) -> InputError:
    return InputError(
        f"{file}: truncated or damaged; expected {expected}, the file has {size} bytes; "
        "copy or download it again"
    )


def fingerprint(tensors: Mapping[str, Stored], config: Mapping[str, Any]) -> str:
    """A hash that is equal for equal weights, whatever their folder, shards or file order.

    It covers the config (without notes on the file's past) and every tensor's name, dtype, shape
    and bytes. Of models above 512 MiB it takes at most 64 blocks of 4 KiB from each tensor, at
    places drawn from the tensor's name, so that an 8B model takes a second and not minutes: two
    trainings differ in nearly every block, a hand-made change of a few weights may be missed.

    Args:
        tensors: what ``stored_tensors`` returned.
        config: the content of ``config.json``.

    Returns:
        SHA-256 in hexadecimal.
    """
    lasting = {key: config[key] for key in sorted(config) if key not in _PASSING}
    digest = hashlib.sha256(json.dumps(lasting, sort_keys=True).encode())
    sampled = sum(tensor.end - tensor.begin for tensor in tensors.values()) > _WHOLE
    handles = {file: open(file, "rb") for file in {t.file for t in tensors.values()}}  # noqa: SIM115
    try:
        for name in sorted(tensors):
            tensor = tensors[name]
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
            for offset, length in _blocks(name, tensor.end - tensor.begin, sampled):
                handles[tensor.file].seek(tensor.begin + offset)
                digest.update(handles[tensor.file].read(length))
    finally:
        for handle in handles.values():
            handle.close()
    return digest.hexdigest()


def _blocks(name: str, size: int, sampled: bool) -> list[tuple[int, int]]:
    """Offsets and lengths of the bytes of a tensor that are hashed."""
    if not sampled or size <= _BLOCKS * _BLOCK:
        return [(start, min(2**20, size - start)) for start in range(0, size, 2**20)]
    places = random.Random(name).sample(range(size // _BLOCK), _BLOCKS)
    return [(place * _BLOCK, _BLOCK) for place in sorted(places)]


def check_finite(model: torch.nn.Module, tensors: Mapping[str, Stored]) -> None:
    """Look at every floating weight and buffer once.

    Raises:
        NumericError: NaN or infinity; names the tensor and, where known, its file.
    """
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        if not value.is_floating_point():
            continue
        flat = value.detach().reshape(-1)
        for start in range(0, flat.numel(), _CHUNK):
            part = flat[start : start + _CHUNK]
            if not bool(torch.isfinite(part).all()):
                file = f"{tensors[name].file}: " if name in tensors else ""
                bad = int((~torch.isfinite(part)).sum())
                raise NumericError(
                    f"{file}tensor {name} holds NaN or infinity ({bad} values); the file is "
                    "damaged or its training failed; use another copy or checkpoint"
                )
