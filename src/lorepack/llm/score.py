"""Log-probabilities: of continuations, for multiple choice; of running text, for perplexity and KL.

Everything is a sum of fp32 log-softmax values, whatever the model's dtype.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from lorepack.errors import InputError
from lorepack.llm.generate import default_batch_tokens
from lorepack.llm.load import LanguageModel

_LOGITS = 2**26  # logits made at once: 256 MiB in fp32


def score(
    lm: LanguageModel,
    contexts: Sequence[Sequence[int] | str],
    continuations: Sequence[Sequence[int] | str],
    *,
    batch_tokens: int | None = None,
) -> list[float]:
    """Log-probability of each continuation behind its context, summed over its tokens, in nats.

    Args:
        lm: the model; hooks on its modules are honoured.
        contexts: token ids, or running text (the tokenizer's BOS is added).
        continuations: token ids, or text that goes on without a space of its own.
        batch_tokens: tokens in a batch; chosen from the memory when not given.

    Returns:
        One number a pair; 0 for an empty continuation.

    Raises:
        InputError: lists of different length, an empty context, or a pair beyond the context.
    """
    if len(contexts) != len(continuations):
        raise InputError(f"{len(contexts)} contexts for {len(continuations)} continuations")
    starts = [lm.chat.text_ids(c) if isinstance(c, str) else list(c) for c in contexts]
    ends = [lm.chat.continuation_ids(c) if isinstance(c, str) else list(c) for c in continuations]
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if not start or len(start) + len(end) > lm.context:
            raise InputError(
                f"pair {i}: {len(start)} and {len(end)} tokens; expected a context of at least 1 "
                f"and at most {lm.context} together ({lm.name})"
            )
    sums = [0.0] * len(starts)
    for batch in _batches(lm, starts, ends, batch_tokens or default_batch_tokens(lm)):
        for i, total in zip(batch, _sums(lm, starts, ends, batch), strict=True):
            sums[i] = total
    return sums


def _batches(
    lm: LanguageModel, starts: list[list[int]], ends: list[list[int]], tokens: int
) -> Iterator[list[int]]:
    """Pairs of like length, longest first, so that little is padded."""
    vocabulary = int(lm.model.config.get_text_config(decoder=True).vocab_size)
    asked = [i for i in range(len(starts)) if ends[i]]
    asked.sort(key=lambda i: (-len(starts[i]) - len(ends[i]), -len(ends[i]), i))
    batch: list[int] = []
    for i in asked:
        rows, longest = (
            len(batch) + 1,
            len(starts[(batch or [i])[0]]) + len(ends[(batch or [i])[0]]),
        )
        first = min(len(starts[j]) for j in [*batch, i])
        full = rows * longest > tokens or rows * (longest - first) * vocabulary > _LOGITS
        if batch and full:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


@torch.inference_mode()
def _sums(
    lm: LanguageModel, starts: list[list[int]], ends: list[list[int]], batch: list[int]
) -> list[float]:
    """Summed log-probabilities of the batch's continuations.

    Rows are padded on the right: causal attention keeps padding out of all that stands before it.
    """
    texts = [starts[i] + ends[i] for i in batch]
    longest = max(len(text) for text in texts)
    ids = torch.full((len(batch), longest), lm.chat.pad_id, device=lm.device)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = torch.tensor(text, device=lm.device)
    first = min(len(starts[i]) for i in batch) - 1  # the first position whose logits are needed
    logits = _last_logits(lm, ids, longest - first)[:, :-1]  # (B, longest - first - 1, V)
    targets = ids[:, first + 1 :, None]
    values = torch.log_softmax(logits.float(), -1).gather(-1, targets)[..., 0]  # (B, …)
    sums = []
    for row, i in enumerate(batch):
        begin = len(starts[i]) - 1 - first
        sums.append(float(values[row, begin : begin + len(ends[i])].double().sum()))
    return sums


def _last_logits(lm: LanguageModel, ids: torch.Tensor, last: int) -> torch.Tensor:
    """Logits ``(B, last, V)`` of the last positions of ``ids (B, T)``."""
    inputs: dict[str, Any] = {"input_ids": ids, "use_cache": False}
    if "logits_to_keep" in inspect.signature(lm.model.forward).parameters:
        inputs["logits_to_keep"] = last
    logits: torch.Tensor = lm.model(**inputs).logits
    return logits[:, -last:]


def text_windows(lm: LanguageModel, texts: Sequence[str], window: int = 512) -> list[list[int]]:
    """Texts as token ids, cut where they are longer than a window.

    Every window opens with the tokenizer's BOS where it has one, so that its first word has a
    context; windows do not overlap. Windows that predict nothing (one token) are left out.

    Args:
        lm: the model.
        texts: running text.
        window: most tokens in a window, BOS included; the model's context if that is less.
    """
    size = min(window, lm.context)
    if size < 2:
        raise InputError(f"window: got {window}; expected 2 or more")
    opening = lm.chat.text_ids("")
    found: list[list[int]] = []
    for text in texts:
        ids = lm.chat.text_ids(text)[len(opening) :]
        step = size - len(opening)
        cut = [opening + ids[start : start + step] for start in range(0, len(ids), step)]
        found.extend(piece for piece in cut if len(piece) > 1)
    return found


@torch.inference_mode()
def token_logprobs(lm: LanguageModel, ids: Sequence[int]) -> torch.Tensor:
    """Log-probabilities of every token behind every prefix.

    Args:
        lm: the model; hooks on its modules are honoured.
        ids: ``(T,)`` token ids, T at least 2.

    Returns:
        ``(T - 1, V)`` fp32 on the model's device; row t is the distribution of ``ids[t + 1]``.
    """
    tokens = torch.tensor([list(ids)], device=lm.device)
    return torch.log_softmax(_last_logits(lm, tokens, len(ids))[0, :-1].float(), -1)


def text_logprobs(
    lm: LanguageModel, texts: Sequence[str], window: int = 512
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The model's predictions over running text, one window at a time.

    Args:
        lm: the model.
        texts: running text; longer ones are cut, see ``text_windows``.
        window: most tokens in a window.

    Yields:
        Ids ``(T,)`` int64 and log-probabilities ``(T - 1, V)`` fp32, as ``token_logprobs``.
    """
    for ids in text_windows(lm, texts, window):
        yield torch.tensor(ids, device=lm.device), token_logprobs(lm, ids)
