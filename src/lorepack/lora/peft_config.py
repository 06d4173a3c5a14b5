"""PEFT's adapter_config.json: written from a spec, read back into one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from lorepack.errors import InputError
from lorepack.lora.spec import AdapterSpec
from lorepack.lora.targets import head_names, linear_names

# Options that change what is computed and that the stack does not do: a value here that is not
# empty refuses the file.
_REFUSED = {
    "modules_to_save": "whole modules beside the factors (modules_to_save)",
    "trainable_token_indices": "trained token embeddings",
    "target_parameters": "factors on bare parameters (target_parameters)",
    "lora_bias": "biases in the factors (lora_bias)",
    "layer_replication": "replicated layers",
    "use_qalora": "QALoRA",
    "use_bdlora": "block-diagonal factors",
    "alora_invocation_tokens": "activation by tokens (aLoRA)",
    "arrow_config": "Arrow routing",
    "kasa_config": "KaSA",
    "velora_config": "VeLoRA",
    "monteclora_config": "MonteCLoRA",
}
# First factors that PEFT takes out of the base's weights, which then are no longer the base's.
_MOVES_BASE = ("pissa", "olora", "corda", "loftq", "lora_ga")


def config_of(spec: AdapterSpec, base_name: str, fan_in_fan_out: bool) -> dict[str, Any]:
    """The adapter_config.json of ``spec``: targets by full name, so no other module matches."""
    return {
        "alpha_pattern": {name: plain(spec.alphas[name]) for name in sorted(spec.alphas)},
        "base_model_name_or_path": base_name,
        "bias": "none",
        "fan_in_fan_out": fan_in_fan_out,
        "inference_mode": True,
        "init_lora_weights": True,
        "layers_pattern": None,
        "layers_to_transform": None,
        "lora_alpha": plain(spec.alpha),
        "lora_dropout": spec.dropout,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": spec.rank,
        "rank_pattern": {name: spec.ranks[name] for name in sorted(spec.ranks)},
        "target_modules": list(spec.targets),
        "task_type": "CAUSAL_LM",
        "use_dora": spec.kind == "dora",
        "use_rslora": spec.rslora,
    }


def plain(value: float) -> int | float:
    """A whole number as an int, as PEFT types its alpha."""
    return int(value) if float(value).is_integer() else value


def spec_of(config: Mapping[str, Any], ranks: Mapping[str, int], where: str) -> AdapterSpec:
    """The spec of a PEFT adapter, honouring rank_pattern and alpha_pattern.

    Args:
        config: the parsed adapter_config.json.
        ranks: target -> rank, as the factors' shapes have it.
        where: the folder, for messages.

    Raises:
        InputError: not LoRA, a feature that is not supported, or ranks that differ from the file.
    """
    refuse_foreign(config, where)
    rank, alpha = _number(config, "r", where), _number(config, "lora_alpha", where)
    rank_pattern = dict(config.get("rank_pattern") or {})
    alpha_pattern = dict(config.get("alpha_pattern") or {})
    for name, got in sorted(ranks.items()):
        want = _by_pattern(rank_pattern, name, rank)
        if got != want:
            raise InputError(
                f"{where}: {name} has factors of rank {got}, but adapter_config.json says {want}"
            )
    alphas = {name: float(_by_pattern(alpha_pattern, name, alpha)) for name in ranks}
    return AdapterSpec(
        rank=int(rank),
        alpha=float(alpha),
        rslora=bool(config.get("use_rslora", False)),
        targets=tuple(ranks),
        dropout=float(config.get("lora_dropout") or 0.0),
        ranks={name: got for name, got in ranks.items() if got != rank},
        alphas={name: got for name, got in alphas.items() if got != alpha},
        kind="dora" if config.get("use_dora") else "lora",
    )


def refuse_foreign(config: Mapping[str, Any], where: str) -> None:
    """Refuse every adapter that computes something else than LoRA or DoRA.

    Raises:
        InputError: names the feature.
    """
    kind = config.get("peft_type")
    if kind != "LORA":
        raise InputError(f"{where}: peft_type is {kind!r}, expected 'LORA'")
    if config.get("bias", "none") != "none":
        raise InputError(f"{where}: trained biases (bias={config['bias']!r}) are not supported")
    for key, feature in _REFUSED.items():
        if config.get(key):
            raise InputError(f"{where}: {feature} is not supported; retrain as plain LoRA")
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start.lower().startswith(_MOVES_BASE):
        raise InputError(
            f"{where}: init_lora_weights={start!r} means a base with changed weights; "
            f"convert it with PEFT (path_initial_model_for_weight_conversion)"
        )


def selected(config: Mapping[str, Any], model: nn.Module) -> set[str]:
    """The linear modules of ``model`` that the configuration's target_modules select.

    A string is a regular expression over full names, or ``all-linear``; a list holds full names
    or suffixes, which layers_to_transform and layers_pattern narrow.
    """
    names, targets = linear_names(model), config.get("target_modules")
    if isinstance(targets, str) and targets.lower() == "all-linear":
        return set(names)
    names += head_names(model)
    if isinstance(targets, str):
        try:
            return {name for name in names if re.fullmatch(targets, name)}
        except re.error as error:
            raise InputError(
                f"target_modules {targets!r}: not a regular expression ({error})"
            ) from None
    suffixes = tuple(targets or ())
    found = {n for n in names if any(n == s or n.endswith(f".{s}") for s in suffixes)}
    layers = config.get("layers_to_transform")
    if layers is None or layers == []:
        return found
    wanted = {layers} if isinstance(layers, int) else set(layers)
    return {name for name in found if _layer(name, config.get("layers_pattern")) in wanted}


def _layer(name: str, pattern: str | list[str] | None) -> int | None:
    """The number after the layers' list in a module's name."""
    if not pattern:
        match = re.match(r".*?\.[^.]*\.(\d+)\.", name)
        return int(match.group(1)) if match else None
    for part in [pattern] if isinstance(pattern, str) else pattern:
        match = re.match(rf"(?:^|.*?\.){part}\.(\d+)\.", name)
        if match:
            return int(match.group(1))
    return None


def _by_pattern(patterns: Mapping[str, Any], name: str, default: Any) -> Any:
    """The value of the first pattern that matches the end of ``name`` from a dot on."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", name):
            return value
    return default


def _number(config: Mapping[str, Any], key: str, where: str) -> Any:
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{where}: adapter_config.json has {key}={value!r}, expected a number")
    return value
