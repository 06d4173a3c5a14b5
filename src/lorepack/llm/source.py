"""From a model's name to a folder with its files: embedded, local, or from the hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lorepack import world
from lorepack.errors import InputError, NotFoundError, suggest
from lorepack.files import read_json

_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors")


def is_reserved(name: str | os.PathLike[str]) -> bool:
    """Whether a name means an embedded model; ``Path("world")`` is a folder, as ``./world`` is."""
    return isinstance(name, str) and name in world.NAMES


def folder_of(
    name: str | os.PathLike[str], revision: str | None = None, code: bool = False
) -> Path:
    """The folder that holds a model.

    Args:
        name: ``world`` or ``world-base``, an existing folder, or a hub id such as ``owner/name``.
            The embedded names are reserved; a folder of that name is ``./world`` or a ``Path``.
        revision: branch, tag or commit on the hub.
        code: whether Python files are fetched as well.

    Raises:
        NotFoundError: none of the three; says what was tried.
        InputError: the name is a file.
    """
    if is_reserved(name):
        return world.model_path(str(name))
    path, name = Path(name).expanduser(), str(name)
    if path.is_dir():
        return path.resolve()
    if path.exists():
        raise InputError(f"{name}: a file; expected a model folder or a hub id")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or os.sep == "\\" in name:
        raise NotFoundError(f"{name}: no such model folder")
    return _from_hub(name, revision, code)


def _from_hub(name: str, revision: str | None, code: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    tried = f"{name}: not embedded ({', '.join(world.NAMES)}), no folder of that name"
    patterns = [*_FILES, "*.py"] if code else list(_FILES)
    try:
        found = snapshot_download(
            name,
            revision=revision,
            allow_patterns=patterns,
            ignore_patterns=["original/*", "consolidated*", "*/*"],
        )
    except HFValidationError as error:
        raise NotFoundError(f"{tried}, and not a hub id{suggest(name, world.NAMES)}") from error
    except Exception as error:  # the hub client raises errors of many libraries
        raise NotFoundError(
            f"{tried}, not in the local hub cache, and not to be had from the hub: "
            f"{_short(error)}{suggest(name, world.NAMES) if '/' not in name else ''}"
        ) from error
    return Path(found)


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else "no reason given"
    return f"{type(error).__name__}, {first[:160]}"


def read_config(folder: Path) -> dict[str, Any]:
    """The content of a model folder's ``config.json``.

    Raises:
        NotFoundError: there is none; says what the folder seems to be.
        InputError: it is not JSON or names no architecture.
    """
    file = folder / "config.json"
    if not file.is_file():
        if (folder / "adapter_config.json").is_file():
            raise InputError(f"{folder}: an adapter, not a model; give its base as the model")
        empty = not any(folder.iterdir())
        seen = "the folder is empty" if empty else "not a model folder"
        raise NotFoundError(
            f"{file}: missing; {seen}; expected config.json, model.safetensors, tokenizer.json"
        )
    config = read_json(file)
    if not isinstance(config, dict) or not config.get("model_type"):
        raise InputError(f"{file}: no model_type; it does not say which architecture this is")
    return config
