"""Adapters on disk: PEFT's own folder, plus lorepack.json that says where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lorepack import files
from lorepack.errors import InputError, MismatchError, NotFoundError, NumericError, WriteError
from lorepack.lora.peft_config import config_of, refuse_foreign, selected, spec_of
from lorepack.lora.site import Factors
from lorepack.lora.spec import AdapterSpec, module_of
from lorepack.lora.targets import sizes

CONFIG, WEIGHTS, ORIGIN = "adapter_config.json", "adapter_model.safetensors", "lorepack.json"
_PREFIX = "base_model.model."
_ENDS = (".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector")


@dataclass(frozen=True)
class LoadedAdapter:
    """An adapter read from disk and checked against its base."""

    spec: AdapterSpec
    factors: Factors
    """fp32"""
    warnings: tuple[str, ...]
    provenance: dict[str, Any] | None
    """the content of lorepack.json; None where the folder has none"""


def save(
    folder: Path | str,
    spec: AdapterSpec,
    factors: Factors,
    *,
    base_name: str,
    provenance: Mapping[str, Any],
    fan_in_fan_out: bool = False,
) -> None:
    """Write an adapter that PEFT loads as it is; equal content, equal bytes.

    Args:
        folder: made when missing; the three files replace older ones.
        spec: rank, alpha, targets by full module name.
        factors: target -> (lora_A (r, in), lora_B (out, r)) and of DoRA magnitudes (out,), float.
        base_name: the base model's name or path, for readers.
        provenance: kept as lorepack.json; ``{"base": {"fingerprint": …}}`` binds the adapter to
            its base.
        fan_in_fan_out: True where the targets are Conv1D (GPT-2).

    Raises:
        InputError: factors of PiSSA that are not plain; see `Stack.plain`.
        NumericError: a factor holds NaN or infinity.
        WriteError: no space, no permission.
    """
    spec.require_plain()
    folder = Path(folder)
    tensors: dict[str, Tensor] = {}
    for name in sorted(factors):
        for end, factor in zip(_ends(spec.kind == "dora"), factors[name], strict=True):
            _require_finite(factor, f"{name}{end}", str(folder))
            tensors[f"{_PREFIX}{name}{end}"] = factor.detach().cpu().contiguous()
    try:
        with files.atomic(folder / WEIGHTS) as partial:
            save_file(tensors, partial, metadata={"format": "pt"})
    except SafetensorError as error:  # how safetensors reports a full disk
        raise WriteError(f"cannot write {folder / WEIGHTS}: {error}") from error
    files.write_json(folder / CONFIG, config_of(spec, base_name, fan_in_fan_out))
    files.write_json(folder / ORIGIN, {"schema": 1, **provenance})


class _Read(NamedTuple):
    """The files of an adapter's folder, not yet checked against a model."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    provenance: dict[str, Any] | None


def load(folder: Path | str, model: nn.Module, *, fingerprint: str | None = None) -> LoadedAdapter:
    """Read a PEFT adapter and check that it belongs to ``model``.

    Args:
        folder: holds adapter_config.json and adapter_model.safetensors; lorepack.json where the
            adapter is ours.
        model: the base.
        fingerprint: the base's; compared with the one in lorepack.json.

    Returns:
        The adapter; without lorepack.json only names and shapes were checked, and a warning
        says so.

    Raises:
        NotFoundError: the folder or a file is missing.
        InputError: a broken file, a pickle, an unknown tensor, a feature that is not supported.
        MismatchError: the adapter was made for another base.
        NumericError: a factor holds NaN or infinity.
    """
    folder = Path(folder)
    read = _read(folder)
    warnings = _check_base(read.provenance, fingerprint, folder)
    refuse_foreign(read.config, str(folder))
    tensors = _without_copies(read.tensors, model, folder)
    factors = _gathered(tensors, bool(read.config.get("use_dora")), folder)
    for name, given in factors.items():
        _check_shapes(name, given, model, folder)
    ranks = {name: given[0].shape[0] for name, given in factors.items()}
    absent = sorted(selected(read.config, model) - set(factors))
    if absent:
        warnings.append(
            f"{folder}: {len(absent)} modules that adapter_config.json selects have no factors "
            f"and stay as in the base, first {absent[0]}"
        )
    spec = spec_of(read.config, ranks, str(folder))
    return LoadedAdapter(spec, factors, tuple(warnings), read.provenance)


def _read(folder: Path) -> _Read:
    if not folder.is_dir():
        raise NotFoundError(f"{folder}: no such adapter folder")
    if not (folder / CONFIG).is_file():
        raise NotFoundError(f"{folder}: no {CONFIG}; expected a PEFT adapter folder")
    if not (folder / WEIGHTS).is_file():
        if (folder / "adapter_model.bin").exists():
            raise InputError(
                f"{folder}: adapter_model.bin is a pickle, which can run code and is never "
                f"loaded; save the adapter again as safetensors"
            )
        raise NotFoundError(f"{folder}: no {WEIGHTS}")
    config = files.read_json(folder / CONFIG)
    provenance = files.read_json(folder / ORIGIN) if (folder / ORIGIN).is_file() else None
    for name, value in ((CONFIG, config), (ORIGIN, provenance or {})):
        if not isinstance(value, dict):
            raise InputError(f"{folder / name}: expected a JSON object")
    try:
        tensors = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{folder / WEIGHTS}: not a whole safetensors file ({error}); copy it again"
        ) from error
    return _Read(config, tensors, provenance)


def _check_base(
    provenance: dict[str, Any] | None, fingerprint: str | None, folder: Path
) -> list[str]:
    if provenance is None:
        return [
            f"{folder}: no {ORIGIN}, so the adapter may be for another base; "
            f"only module names and shapes were checked"
        ]
    base = provenance.get("base")
    made_for = base.get("fingerprint") if isinstance(base, dict) else None
    if not isinstance(base, dict) or not isinstance(made_for, str):
        return [f"{folder}: {ORIGIN} names no base; only module names and shapes were checked"]
    if fingerprint is not None and made_for != fingerprint:
        raise MismatchError(
            f"{folder}: adapter made for base {base.get('name')} (fingerprint {made_for[:12]}), "
            f"got a base with fingerprint {fingerprint[:12]}; load the base it was made for"
        )
    return []


def _ends(dora: bool) -> tuple[str, ...]:
    """How the keys of a target's tensors end."""
    return _ENDS if dora else _ENDS[:2]


def _without_copies(
    tensors: dict[str, Tensor], model: nn.Module, folder: Path
) -> dict[str, Tensor]:
    """The tensors without the embeddings of the base that PEFT saves beside a head's factors."""
    embeddings = {
        module.weight.data_ptr()
        for getter in ("get_input_embeddings", "get_output_embeddings")
        if (module := getattr(model, getter, lambda: None)()) is not None
    }
    own = dict(model.named_parameters(remove_duplicate=False))
    kept = {}
    for key, tensor in tensors.items():
        weight = own.get(key.removeprefix(_PREFIX).replace(".base_layer.", "."))
        if weight is None or weight.data_ptr() not in embeddings:
            kept[key] = tensor
        elif tensor.shape != weight.shape or not torch.equal(tensor.to(weight), weight):
            raise MismatchError(
                f"{folder / WEIGHTS}: {key} differs from the base's own weight; an adapter with "
                f"changed embeddings is not supported, load the base it was made for"
            )
    return kept


def _gathered(tensors: dict[str, Tensor], dora: bool, folder: Path) -> Factors:
    """Tensors by PEFT's keys -> factors by module name."""
    ends = _ends(dora)
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in sorted(tensors.items()):
        end = next((end for end in ends if key.endswith(end)), None)
        if end is None or not key.startswith(_PREFIX):
            raise InputError(
                f"{folder / WEIGHTS}: unknown tensor {key}; expected {_PREFIX}MODULE with "
                f"{', '.join(ends)} only{_hint(key)}"
            )
        _require_finite(tensor, key, str(folder / WEIGHTS))
        found.setdefault(key[len(_PREFIX) : -len(end)], {})[end] = tensor.float()
    if not found:
        raise InputError(f"{folder / WEIGHTS}: holds no factors")
    for name, given in found.items():
        if len(given) != len(ends):
            raise InputError(
                f"{folder / WEIGHTS}: {name} has only {', '.join(end[1:] for end in given)}"
            )
    return {name: tuple(given[end] for end in ends) for name, given in found.items()}


def _hint(key: str) -> str:
    return "; magnitudes need use_dora in adapter_config.json" if key.endswith(_ENDS[2]) else ""


def _check_shapes(name: str, given: tuple[Tensor, ...], model: nn.Module, folder: Path) -> None:
    width, out = sizes(module_of(model, name))
    rank = given[0].shape[0]
    want = ((rank, width), (out, rank), (out,))[: len(given)]
    if tuple(tuple(tensor.shape) for tensor in given) != want or rank < 1:
        got = ", ".join(
            f"{end.split('.')[1]} {tuple(tensor.shape)}"
            for end, tensor in zip(_ENDS, given, strict=False)
        )
        magnitudes = f", magnitudes ({out},)" if len(given) == 3 else ""
        raise MismatchError(
            f"{folder}: {name} has {got}, expected (r, {width}) and ({out}, r){magnitudes} "
            f"for this base"
        )


def _require_finite(tensor: Tensor, name: str, where: str) -> None:
    if not tensor.is_floating_point():
        raise InputError(f"{where}: {name} is {tensor.dtype}, expected floating point")
    if not bool(torch.isfinite(tensor).all()):
        raise NumericError(f"{where}: {name} holds NaN or infinity")
