"""Token batches for the two stages of training, fixed by seed and step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from lorepack.world.chats import conversations
from lorepack.world.tokenizer import CONTEXT, EOS, PAD, SPECIAL, encode_chat

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

IGNORED = -100  # label of a position without loss
REHEARSE_EVERY = 4  # after so many batches of chats, one of the plain text
LONG_EVERY = 8  # each n-th batch has rows as long as the context

Batch = tuple["NDArray[np.int64]", "NDArray[np.int64]"]
"""tokens and labels, both (rows, length); a label belongs to the token at its own position"""


def stream(tokenizer: Tokenizer, documents: list[str]) -> NDArray[np.int32]:
    """All documents as one run of tokens, each opened by BOS and closed by EOS."""
    eos = SPECIAL.index(EOS)
    parts: list[NDArray[np.int32]] = []
    for start in range(0, len(documents), 20_000):
        encoded = tokenizer.encode_batch_fast(documents[start : start + 20_000])
        flat = [token for one in encoded for token in (*one.ids, eos)]
        parts.append(np.array(flat, dtype=np.int32))
    return np.concatenate(parts)


def plain(tokens: NDArray[np.int32], batch_tokens: int, length: int) -> list[Batch]:
    """Cut a run of tokens into batches; every position carries loss.

    Args:
        tokens: the run.
        batch_tokens: tokens a batch; a multiple of `length` and of the context.
        length: tokens a row; every `LONG_EVERY`-th batch has rows of the whole context instead.

    Returns:
        Batches in training order.
    """
    made = []
    for step in range(len(tokens) // batch_tokens):
        rows = tokens[step * batch_tokens : (step + 1) * batch_tokens].astype(np.int64)
        width = CONTEXT if step % LONG_EVERY == LONG_EVERY - 1 else length
        rows = rows.reshape(-1, min(width, batch_tokens))
        made.append((rows, rows))
    return made


def chat(tokenizer: Tokenizer, batch_tokens: int, length: int, steps: int) -> list[Batch]:
    """Batches of whole conversations; only the assistant's tokens carry loss.

    Args:
        tokenizer: the shared tokenizer.
        batch_tokens: tokens a batch, padding included.
        length: tokens a row, as in `plain`.
        steps: number of batches.

    Returns:
        Batches in training order.
    """
    source = _encoded(tokenizer)
    pad = SPECIAL.index(PAD)
    made = []
    waiting: list[int] = next(source)
    for step in range(steps):
        width = CONTEXT if step % LONG_EVERY == LONG_EVERY - 1 else length
        width = min(width, batch_tokens)
        rows = np.full((batch_tokens // width, width), pad, dtype=np.int64)
        labels = np.full_like(rows, IGNORED)
        for row, label in zip(rows, labels, strict=True):
            place = 0
            while place + len(waiting) <= width or place == 0:
                marked = np.array(waiting[: width - place], dtype=np.int64)
                ids = np.where(marked < 0, -marked - 1, marked)
                row[place : place + len(ids)] = ids
                label[place : place + len(ids)] = np.where(marked < 0, ids, IGNORED)
                place += len(ids)
                waiting = next(source)
        made.append((rows, labels))
    return made


def rehearsed(talk: list[Batch], text: list[Batch]) -> list[Batch]:
    """Chats with plain text between them, so that what no chat asks about is not forgotten.

    Args:
        talk: batches of chats.
        text: batches of the pretraining text; the first ones are taken again.

    Returns:
        All of ``talk``, one batch of ``text`` after every `REHEARSE_EVERY`.
    """
    made: list[Batch] = []
    for number, batch in enumerate(talk, 1):
        made.append(batch)
        if number % REHEARSE_EVERY == 0:
            made.append(text[number // REHEARSE_EVERY % len(text)])
    return made


def _encoded(tokenizer: Tokenizer) -> Iterator[list[int]]:
    """Conversations without end, as marked tokens (see `encode_chat`)."""
    seed = 0
    while True:
        for messages in conversations(2_000, seed):
            yield encode_chat(tokenizer, messages)[0]
        seed += 1
