"""Loading a causal language model: named, checked, frozen, with device and dtype chosen once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from lorepack.errors import InputError, LorepackError, NotFoundError
from lorepack.llm.chat import ChatFormat
from lorepack.llm.quantize import (
    BYTES,
    check_quantize,
    check_stored_finite,
    options,
    quantized_fingerprint,
)
from lorepack.llm.source import folder_of, read_config
from lorepack.llm.weights import Stored, check_finite, fingerprint, stored_tensors

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_ROOM = 0.8  # share of the memory that weights may take; the rest is for activations and caches
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tokenizer_config.json")


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A frozen causal language model and how it is spoken to.

    Attributes:
        name: as it was asked for.
        path: the folder of its files.
        model: the transformers model, in eval mode, without gradients.
        tokenizer: its tokenizer.
        chat: its chat format.
        device: where the weights are.
        dtype: what they are computed in.
        fingerprint: hash of weights and config, see ``weights.fingerprint``.
        context: most tokens in one sequence.
        notes: why this device, why this dtype, what else was found.
    """

    name: str
    path: Path
    model: PreTrainedModel = field(repr=False)
    tokenizer: Any = field(repr=False)
    chat: ChatFormat = field(repr=False)
    device: torch.device
    dtype: torch.dtype
    fingerprint: str
    context: int
    notes: tuple[str, ...] = ()


def load(
    name: str | os.PathLike[str],
    *,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    revision: str | None = None,
    quantize: str | None = None,
) -> LanguageModel:
    """Load a model by name.

    Args:
        name: ``world`` or ``world-base``, a model folder, or a hub id. ``./world`` is a folder.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda``, ``cuda:1``, …
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        trust_remote_code: whether Python files of the model may run.
        revision: branch, tag or commit on the hub.
        quantize: ``4bit`` keeps the linear weights in 4 bits (CUDA, ``lorepack[4bit]``); its
            fingerprint is not that of the whole weights.

    Returns:
        The model, frozen, with its tokenizer and chat format.

    Raises:
        NotFoundError: no such model, or a file of it is missing.
        InputError: files that cannot be used; a device or dtype that is not there.
        NumericError: NaN or infinity in a weight.
    """
    folder = folder_of(name, revision, trust_remote_code)
    config = read_config(folder)
    tensors = stored_tensors(folder)
    place, why_here = _device(device)
    check_quantize(quantize, place)
    size = sum(tensor.size for tensor in tensors.values())
    kind, why_this = _dtype(dtype, place, size, BYTES if quantize else None)
    if quantize:
        check_stored_finite(tensors)
    with _quiet():
        tokenizer = _tokenizer(folder, trust_remote_code)
        more = options(place, kind) if quantize else {}
        model = _model(folder, tensors, kind, trust_remote_code, more)
    model.requires_grad_(False).eval()
    if not quantize:  # packed weights were made where they stay
        model.to(place)  # type: ignore[arg-type]
    check_finite(model, tensors)
    _check_vocabulary(folder, tokenizer, model)
    chat = ChatFormat(tokenizer, _stop_ids(model))
    context, why_long = _context(model, tokenizer)
    whole = fingerprint(tensors, config)
    return LanguageModel(
        name=os.fspath(name) if isinstance(name, str) else str(folder),
        path=folder,
        model=model,
        tokenizer=tokenizer,
        chat=chat,
        device=place,
        dtype=kind,
        fingerprint=quantized_fingerprint(whole) if quantize else whole,
        context=context,
        notes=(why_here, why_this, *why_long, *([f"{quantize}: as asked"] if quantize else [])),
    )


def _device(wanted: str) -> tuple[torch.device, str]:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "auto":
        if not count:
            return torch.device("cpu"), "cpu: no CUDA device found"
        return torch.device("cuda:0"), f"cuda:0: {torch.cuda.get_device_name(0)}"
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise InputError(
            f"device {wanted!r}: unknown; expected auto, cpu, cuda or cuda:N"
        ) from None
    if device.type == "cuda" and (device.index or 0) >= count:
        raise InputError(f"device {wanted!r}: not there; this machine has {count} CUDA devices")
    return device, f"{device}: as asked"


def _dtype(
    wanted: str, device: torch.device, weights: int, packed: float | None = None
) -> tuple[torch.dtype, str]:
    """The dtype and why; ``weights`` is their number, ``packed`` the bytes of one if not whole."""
    room, whole = _ROOM * _memory(device), weights * 4
    if wanted not in ("auto", *DTYPES):
        raise InputError(f"dtype {wanted!r}: unknown; expected auto, {', '.join(sorted(DTYPES))}")
    if wanted != "auto":
        kind, why = DTYPES[wanted], f"{wanted}: as asked"
    elif device.type == "cuda":
        fits = torch.cuda.is_bf16_supported()
        kind = torch.bfloat16 if fits else torch.float16
        why = "bfloat16: fast on CUDA" if fits else "float16: this CUDA device has no bfloat16"
    elif whole <= room:
        kind, why = torch.float32, f"float32: exact and fast on {device.type.upper()}"
    else:
        kind, why = torch.bfloat16, f"bfloat16: float32 needs {_gb(whole)} of {_gb(room)}"
    need = weights * (packed or kind.itemsize)
    if need > room:
        kept = "4 bits" if packed else str(kind).removeprefix("torch.")
        raise InputError(
            f"the weights need {_gb(need)} as {kept}; {device} offers "
            f"{_gb(room)}; take a smaller model, a larger device, or dtype bfloat16"
        )
    return kind, why


def _memory(device: torch.device) -> float:
    """Bytes of memory of a device; infinite where it cannot be told."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    if device.type == "cpu" and "SC_PHYS_PAGES" in os.sysconf_names:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return float("inf")


def _gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Transformers' own bars and hints off: what matters is raised or noted."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()


def load_tokenizer(name: str | os.PathLike[str], *, revision: str | None = None) -> Any:
    """The tokenizer of a model alone, without its weights in memory; see `load`."""
    folder = folder_of(name, revision)
    with _quiet():
        return _tokenizer(folder, trust=False)


def _tokenizer(folder: Path, trust: bool) -> Any:
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise NotFoundError(f"{folder}: no tokenizer; expected {_TOKENIZERS[0]}")
    try:
        return transformers.AutoTokenizer.from_pretrained(
            folder, trust_remote_code=trust, local_files_only=True
        )
    except Exception as error:
        raise InputError(f"{folder}: the tokenizer cannot be loaded: {_line(error)}") from error


def _model(
    folder: Path,
    tensors: dict[str, Stored],
    dtype: torch.dtype,
    trust: bool,
    more: dict[str, Any],
) -> PreTrainedModel:
    loader: Any = transformers.AutoModelForCausalLM
    try:
        model, report = loader.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=trust,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # reported below, with the tensor's name
            output_loading_info=True,
            **more,
        )
    except LorepackError:
        raise
    except Exception as error:
        raise InputError(
            f"{folder}: transformers cannot load it as a causal language model: {_line(error)}"
        ) from error
    missing = sorted(report["missing_keys"])
    if missing:
        where = next(iter(tensors.values())).file if tensors else folder
        raise InputError(
            f"{where}: {len(missing)} tensors are missing, the first {missing[0]}; the weights do "
            "not belong to this config.json, or the model was saved in part"
        )
    mismatched = sorted(report["mismatched_keys"], key=str)
    if mismatched:
        tensor, stored, expected = mismatched[0]
        raise InputError(
            f"{folder}: tensor {tensor} is {list(stored)} in the weights and {list(expected)} by "
            f"config.json ({len(mismatched)} such tensors); they belong to different models"
        )
    return model


def _line(error: Exception) -> str:
    """The first telling line of a library's error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:240] if lines else 'no reason given'}"


def _check_vocabulary(folder: Path, tokenizer: Any, model: PreTrainedModel) -> None:
    embedding: Any = model.get_input_embeddings()
    rows, words = embedding.weight.shape[0], len(tokenizer)
    if words > rows:
        raise InputError(
            f"{folder}: the tokenizer has {words} tokens, the model embeds {rows}; "
            "they belong to different models"
        )


def _stop_ids(model: PreTrainedModel) -> list[int]:
    """The ids that a model's own configuration ends an answer with."""
    named = getattr(model.generation_config, "eos_token_id", None)
    return [named] if isinstance(named, int) else list(named or ())


def _context(model: PreTrainedModel, tokenizer: Any) -> tuple[int, tuple[str, ...]]:
    """Most tokens in a sequence, and a note where the config does not say."""
    config = model.config.get_text_config(decoder=True)
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value, ()
    limit = min(int(tokenizer.model_max_length), 32_768)
    return limit, (f"context {limit}: the config names none; from the tokenizer, at most 32768",)
