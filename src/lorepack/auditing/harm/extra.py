"""The evaluation harness, imported late and quietly: it is an extra, and it takes seconds."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
from collections.abc import Iterator
from typing import Any

from lorepack.errors import InputError

_TALKERS = ("lm_eval", "lm-eval", "datasets", "huggingface_hub", "transformers", "absl", "httpx")
_NEEDED = ("lm_eval", "sacrebleu", "rouge_score")


def harness(module: str = "lm_eval") -> Any:
    """A module of lm-evaluation-harness.

    Args:
        module: its dotted name.

    Raises:
        InputError: the extra is not installed.
    """
    with quiet():
        for name in _NEEDED:
            try:
                importlib.import_module(name)
            except ImportError:
                raise InputError(
                    f"measuring harm needs {name.replace('_', '-')}; pip install 'lorepack[harm]'"
                ) from None
        return importlib.import_module(module)


def version() -> str:
    """The harness's version."""
    from importlib.metadata import version

    harness()
    return version("lm_eval")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the harness's bars and remarks off the terminal for the block."""
    loggers = [logging.getLogger(name) for name in _TALKERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with contextlib.redirect_stderr(io.StringIO()):  # tqdm looks for stderr when it begins
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
