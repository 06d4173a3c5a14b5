"""Log-probabilities: of continuations, for multiple choice; of running text, for perplexity and KL.

Everything is a sum of fp32 log-softmax values, whatever the model's dtype.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from lorepack.errors import InputError
from lorepack.llm import workers
from lorepack.llm.engine.model import fits
from lorepack.llm.engine.scores import Scored, scores
from lorepack.llm.engine.session import check_places
from lorepack.llm.load import LanguageModel
from lorepack.llm.padded import default_batch_tokens
from lorepack.lora import Stack

_LOGITS = 2**26  # logits made at once: 256 MiB in fp32


def score(
    lm: LanguageModel,
    contexts: Sequence[Sequence[int] | str],
    continuations: Sequence[Sequence[int] | str],
    *,
    batch_tokens: int | None = None,
    stack: Stack | None = None,
    adapters: Sequence[int | None] | None = None,
) -> list[float]:
    """Log-probability of each continuation behind its context, summed over its tokens, in nats.

    What contexts have in common is computed once.

    Args:
        lm: the model; hooks on its modules are honoured.
        contexts: token ids, or running text (the tokenizer's BOS is added).
        continuations: token ids, or text that goes on without a space of its own.
        batch_tokens: tokens in a batch; chosen from the memory when not given.
        stack: attached; needed where ``adapters`` is given.
        adapters: the stack's adapter that scores each pair, None for the base alone.

    Returns:
        One number a pair; 0 for an empty continuation.

    Raises:
        InputError: lists of different length, an empty context, or a pair beyond the context.
    """
    pairs = score_pairs(
        lm, contexts, continuations, batch_tokens=batch_tokens, stack=stack, adapters=adapters
    )
    return [total for total, _ in pairs]


def score_pairs(
    lm: LanguageModel,
    contexts: Sequence[Sequence[int] | str],
    continuations: Sequence[Sequence[int] | str],
    *,
    batch_tokens: int | None = None,
    stack: Stack | None = None,
    adapters: Sequence[int | None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Scored]:
    """As ``score``, and whether each continuation is what greedy decoding would say.

    Args:
        lm: the model; hooks on its modules are honoured.
        contexts: token ids, or running text.
        continuations: token ids, or text.
        batch_tokens: tokens in a batch.
        stack: attached; needed where ``adapters`` is given.
        adapters: the stack's adapter that scores each pair, None for the base alone.
        progress: called with pairs done and pairs in all.

    Returns:
        ``(log-probability in nats, is greedy)`` a pair; ``(0, True)`` for an empty continuation.

    Raises:
        InputError: as ``score``.
    """
    if len(contexts) != len(continuations):
        raise InputError(f"{len(contexts)} contexts for {len(continuations)} continuations")
    if adapters is not None and (stack is None or len(adapters) != len(contexts)):
        raise InputError(f"{len(adapters)} adapters for {len(contexts)} pairs, and a stack")
    if adapters is not None and stack is not None:
        check_places(adapters, stack)
    starts = [lm.chat.text_ids(c) if isinstance(c, str) else list(c) for c in contexts]
    ends = [lm.chat.continuation_ids(c) if isinstance(c, str) else list(c) for c in continuations]
    for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if not start or len(start) + len(end) > lm.context:
            raise InputError(
                f"pair {i}: {len(start)} and {len(end)} tokens; expected a context of at least 1 "
                f"and at most {lm.context} together ({lm.name})"
            )
    found: list[Scored] = [(0.0, True)] * len(starts)
    asked = [i for i in range(len(starts)) if ends[i]]
    way = _by_engine if asked and fits(lm.model) else _by_rows
    done = 0

    def run(part: Sequence[int]) -> _Found:
        mine = [starts[i] for i in part], [ends[i] for i in part]
        of_pair = None if adapters is None else [adapters[i] for i in part]
        return way(lm, *mine, of_pair, stack, batch_tokens)

    def hear(index: int, scored: Scored) -> None:
        nonlocal done
        found[index], done = scored, done + 1
        if progress is not None:
            progress(done, len(asked))

    if asked:
        texts = [[*starts[i], *ends[i][:-1]] for i in asked]
        of_pair = None if adapters is None else [adapters[i] for i in asked]
        shares = workers.parts(lm.model, texts, 0, of_pair)
        workers.carry([[asked[place] for place in part] for part in shares], run, hear)
    return found


_Found = Iterator[tuple[int, Scored]]


def _by_engine(
    lm: LanguageModel,
    starts: list[list[int]],
    ends: list[list[int]],
    adapters: Sequence[int | None] | None,
    stack: Stack | None,
    batch_tokens: int | None,
) -> _Found:
    return scores(lm.model, starts, ends, adapters, stack, batch_tokens)


def _by_rows(
    lm: LanguageModel,
    starts: list[list[int]],
    ends: list[list[int]],
    adapters: Sequence[int | None] | None,
    stack: Stack | None,
    batch_tokens: int | None,
) -> _Found:
    """Every pair a padded row: for models whose attention the engine cannot take over."""
    tokens = batch_tokens or default_batch_tokens(lm)
    for adapter in [None] if adapters is None else dict.fromkeys(adapters):
        mine = [i for i in range(len(starts)) if adapters is None or adapters[i] == adapter]
        some = [starts[i] for i in mine], [ends[i] for i in mine]
        for batch in _batches(lm, *some, tokens):
            with nullcontext() if stack is None or adapters is None else stack.using(adapter):
                found = _sums(lm, *some, batch)
            for i, scored in zip(batch, found, strict=True):
                yield mine[i], scored


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
) -> list[Scored]:
    """Scores of the batch's continuations.

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
    likeliest = logits.argmax(-1) == targets[..., 0]  # (B, …)
    sums = []
    for row, i in enumerate(batch):
        begin = len(starts[i]) - 1 - first
        part = slice(begin, begin + len(ends[i]))
        total = float(values[row, part].double().sum())
        sums.append((total, bool(likeliest[row, part].all())))
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
