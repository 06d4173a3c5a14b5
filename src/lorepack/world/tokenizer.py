"""The one tokenizer of both models: byte-level BPE without unknown token."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lorepack import files

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VOCABULARY = 2560
BOS, EOS, PAD, END = "<|bos|>", "<|eos|>", "<|pad|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
SPECIAL = (PAD, BOS, EOS, END, *ROLES)  # ids 0 to 6
CONTEXT = 1024  # tokens

CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] | trim + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
# Words keep their leading space. Digits go in pairs: a small model copies two or three tokens of
# a year out of a passage as it copies a name, but loses its place among single digits.
_PIECES = r"\p{N}{1,2}|'(?:s|t)| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_PAIRS = [" ".join(f"{number:02}" for number in range(100))] * 2_000  # often enough to all be kept


def build(texts: Iterable[str], size: int = VOCABULARY) -> Tokenizer:
    """Train the tokenizer.

    Args:
        texts: documents to learn merges from.
        size: entries of the vocabulary, special tokens and the 256 bytes included.

    Returns:
        A tokenizer that puts BOS before every text and loses no character of any text.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(itertools.chain(texts, _PAIRS), trainer)
    bos = tokenizer.token_to_id(BOS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A $B", special_tokens=[(BOS, bos)]
    )
    return tokenizer


def configuration(chats: bool) -> dict[str, Any]:
    """The content of ``tokenizer_config.json``; only the model that chats has a template."""
    template = {"chat_template": CHAT_TEMPLATE} if chats else {}
    return {
        **template,
        "add_bos_token": True,
        "additional_special_tokens": [END, *ROLES],
        "bos_token": BOS,
        "clean_up_tokenization_spaces": False,
        "eos_token": EOS,
        "model_max_length": CONTEXT,
        "pad_token": PAD,
        "padding_side": "left",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def save(tokenizer: Tokenizer, folder: Path, *, chats: bool) -> None:
    """Write the files that transformers loads a fast tokenizer from."""
    files.write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=False))
    files.write_json(folder / "tokenizer_config.json", configuration(chats))


def encode_chat(tokenizer: Tokenizer, messages: Sequence[dict[str, str]]) -> tuple[list[int], int]:
    """Tokens of a conversation exactly as the chat template writes it.

    Args:
        tokenizer: the tokenizer of `build`.
        messages: ``role`` and ``content`` of each message.

    Returns:
        The tokens, those of the assistant's messages and their end marked by a negative sign
        (``-token - 1``), and the number so marked.
    """
    tokens = [SPECIAL.index(BOS)]
    end = SPECIAL.index(END)
    marked = 0
    for message in messages:
        tokens.append(SPECIAL.index(f"<|{message['role']}|>"))
        content = tokenizer.encode(message["content"].strip(), add_special_tokens=False).ids
        content.append(end)
        if message["role"] == "assistant":
            marked += len(content)
            content = [-token - 1 for token in content]
        tokens += content
    return tokens, marked
