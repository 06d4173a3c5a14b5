"""Language models around tiny random weights, with a tokenizer of one token a byte."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lorepack.llm import ChatFormat, LanguageModel, load
from tiny_models import CONTEXT, tiny

STORIES = Path(__file__).parents[3] / "shared/data/models/stories260K"
NEWLINE = 10


def byte_tokenizer(**options: Any) -> PreTrainedTokenizerFast:
    """A tokenizer of 256 tokens: ids 0, 1, 2 are pad, BOS and EOS, the others are their byte."""
    letters = {chr(code): byte for byte, code in _byte_letters().items()}
    named = {0: "<pad>", 1: "<s>", 2: "</s>"}
    vocabulary = {named.get(byte, letter): byte for letter, byte in letters.items()}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>", **options
    )


def _byte_letters() -> dict[int, int]:
    """Byte-level BPE's visible letter of every byte."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: byte for byte in shown} | {b: 256 + i for i, b in enumerate(hidden)}


def wrap(model: Any, tokenizer: Any = None, context: int = CONTEXT) -> LanguageModel:
    """A language model around weights in memory."""
    tokenizer = tokenizer or byte_tokenizer()
    return LanguageModel(
        name="tiny",
        path=Path(),
        model=model,
        tokenizer=tokenizer,
        chat=ChatFormat(tokenizer),
        device=torch.device("cpu"),
        dtype=torch.float32,
        fingerprint="",
        context=context,
    )


@contextlib.contextmanager
def scripted(lm: LanguageModel, prompt: list[int], script: list[int]) -> Iterator[None]:
    """A model that writes ``script`` behind ``prompt``, whatever its weights say."""

    def write(_module: object, _args: object, kwargs: dict, output: object) -> object:
        place = int(kwargs["position_ids"][0, -1]) - (len(prompt) - 1)
        output.logits[:] = 0.0  # type: ignore[attr-defined]
        output.logits[..., script[place]] = 9.0  # type: ignore[attr-defined]
        return output

    hook = lm.model.register_forward_hook(write, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


@pytest.fixture(scope="session")
def tiny_lm() -> Callable[[str], LanguageModel]:
    """``tiny_lm(family)``: one model a family and session."""
    made: dict[str, LanguageModel] = {}

    def get(family: str) -> LanguageModel:
        if family not in made:
            made[family] = wrap(tiny(family))
        return made[family]

    return get


@pytest.fixture(scope="session")
def stories() -> LanguageModel:
    """A real trained model of 260 K parameters."""
    if not STORIES.is_dir():
        pytest.skip(f"needs the model folder {STORIES.name} in shared/data/models")
    return load(STORIES, device="cpu")
