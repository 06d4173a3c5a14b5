"""The two models that ship with the package: their reserved names and where they lie."""

from __future__ import annotations

from pathlib import Path

from lorepack.errors import InputError, NotFoundError, suggest

NAMES = ("world", "world-base")
MODELS = Path(__file__).parent / "models"


def model_path(name: str) -> Path:
    """The folder of a shipped model.

    Args:
        name: ``world`` (chats) or ``world-base`` (plain text).

    Returns:
        A folder that transformers loads model and tokenizer from.

    Raises:
        InputError: another name.
        NotFoundError: the package was installed without the weights.
    """
    if name not in NAMES:
        raise InputError(f"no shipped model {name!r}{suggest(name, NAMES)}")
    folder = MODELS / name
    if not (folder / "model.safetensors").is_file():
        raise NotFoundError(
            f"{folder}: the shipped model {name} is missing; make it with "
            "python -m lorepack.world.make"
        )
    return folder
