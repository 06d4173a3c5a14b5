"""Settings, versions and other small print, flattened to name and value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from lorepack.reports import figures as fig
from lorepack.reports.run_files import RunFiles, broken
from lorepack.text import RULES

LISTED = 8
"""longer lists are shown by their length"""

UNSET = "–"

Pairs = tuple[tuple[str, str], ...]


def flat(value: Mapping[str, Any], leave: tuple[str, ...] = ()) -> Pairs:
    """A JSON object as (dotted name, text), sorted by name.

    Args:
        value: any JSON object.
        leave: names at the top that are left out.
    """
    kept = {key: part for key, part in value.items() if key not in leave}
    return tuple(_walk(kept, ""))


def _walk(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _walk(value[key], f"{name}.{key}" if name else str(key))
    else:
        yield name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return UNSET
    if isinstance(value, list):
        short = len(value) <= LISTED and all(isinstance(v, str | int | float) for v in value)
        return (
            (", ".join(map(str, value)) or "none") if short else f"{fig.count(len(value))} values"
        )
    if isinstance(value, int):
        return fig.count(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def groups(files: RunFiles) -> tuple[tuple[str, Pairs], ...]:
    """The settings of a run: model, recipe, adapter, mix, probe, and the rest."""
    settings = _mapping(files.run.get("settings"))
    recipe = _mapping(settings.get("recipe")) or _mapping(files.adapter.get("recipe"))
    shape = {
        "rank": files.config.get("r"),
        "alpha": files.config.get("lora_alpha"),
        "rslora": files.config.get("use_rslora", False),
        "dropout": files.config.get("lora_dropout", 0.0),
        "modules": len(files.config.get("target_modules") or ()),
    }
    parts = (
        ("Model", _model(files)),
        ("Recipe", flat(recipe)),
        ("Adapter", flat(shape)),
        ("Mix asked for", flat(_mapping(settings.get("mix")))),
        ("Mix made", flat(_mapping(files.mix.get("counts")))),
        ("Training", flat(files.training, leave=("schema", "adapter", "loss", "reliability"))),
        ("Probe", flat(_mapping(settings.get("probe")))),
        ("Run", flat(settings, leave=("recipe", "mix", "probe"))),
    )
    return tuple((title, pairs) for title, pairs in parts if pairs)


def _model(files: RunFiles) -> Pairs:
    """The base model's name, and where and in what it was computed."""
    dtype = _mapping(files.run.get("model")).get("dtype")
    named = (("name", short_name(base_name(files))), ("device", files.device), ("dtype", dtype))
    return tuple((name, str(value)) for name, value in named if value)


def versions(files: RunFiles) -> Pairs:
    """The versions of what made the run."""
    return flat(_mapping(files.run.get("versions")))


def sampled(files: RunFiles) -> bool:
    """Whether the probe drew samples, without which no fact can be WeaklyKnown."""
    return bool(_probe(files).get("samples", 1))


def rule(files: RunFiles) -> str:
    """The rule by which the run's answers were matched.

    Raises:
        InputError: the run names one that there is not.
    """
    named = str(_probe(files).get("rule", "boundary"))
    if named not in RULES:
        raise broken(files.folder, "run.json", f"no matching rule {named!r}")
    return named


def _probe(files: RunFiles) -> Mapping[str, Any]:
    return _mapping(_mapping(files.run.get("settings")).get("probe"))


def notes(files: RunFiles) -> tuple[str, ...]:
    """What the stages remarked, each once: facts set aside, too few exemplars, and the like."""
    remarks = (
        *(files.probe.get("notes") or ()),
        *(files.mix.get("warnings") or ()),
        *files.audit.notes,
    )
    return tuple(dict.fromkeys(_placeless(str(remark)) for remark in remarks))


def _placeless(remark: str) -> str:
    """A remark that begins with a path, without the folders of a machine."""
    place, colon, rest = remark.partition(": ")
    named = colon and place.startswith(("/", ".", "~"))
    return f"{PurePosixPath(place).name}{colon}{rest}" if named else remark


def fingerprints(files: RunFiles) -> Pairs:
    """Hashes that name the base model, the facts and every file behind the report."""
    model, facts = _mapping(files.run.get("model")), _mapping(files.run.get("facts"))
    named = (("base model", model.get("fingerprint")), ("facts", facts.get("sha256")))
    return (*((name, str(value)) for name, value in named if value), *files.hashes)


def base_name(files: RunFiles) -> str:
    """The base model as the run names it: a hub id, an embedded name, or a path."""
    model = _mapping(files.run.get("model"))
    return str(model.get("name") or files.config.get("base_model_name_or_path") or "unknown")


def short_name(name: str) -> str:
    """A model's name on one line, without the folders of a machine; hub ids stay whole."""
    name = " ".join(name.split())
    if is_path(name):
        return PureWindowsPath(PurePosixPath(name).name).name or name
    return name


def is_path(name: str) -> bool:
    """Whether a model's name is a place on a disk and not a name that others could use."""
    return name.startswith((".", "/", "~", "\\")) or name.count("/") > 1 or "\\" in name


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
