"""Log-probabilities of continuations: contexts that several share are computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from lorepack.errors import InputError
from lorepack.llm.engine.answers import tokens_of
from lorepack.llm.engine.layout import Fresh
from lorepack.llm.engine.prefixes import Key, Prefixes
from lorepack.llm.engine.session import Adapters, Session, kinds_of
from lorepack.llm.engine.tree import grow
from lorepack.llm.memory import is_shortage
from lorepack.lora import Stack

_WORTH = 32  # tokens that a shared prefix must save
_LOGITS = 2**24  # made at once: 64 MiB in fp32

Scored = tuple[float, bool]
"""summed log-probability in nats, and whether every token is the likeliest one"""


class _Text:
    """Tokens that are run once for all continuations that are read off them."""

    def __init__(self, ids: tuple[int, ...], adapter: int | None) -> None:
        self.ids, self.adapter = ids, adapter
        self.pairs: list[tuple[int, list[int]]] = []
        """index of a pair, and its continuation"""
        self.wanted = 0
        """how many of the last tokens' logits are needed"""

    def add(self, index: int, end: list[int]) -> None:
        self.pairs.append((index, end))
        self.wanted = max(self.wanted, len(end))


def scores(
    model: Any,
    starts: Sequence[list[int]],
    ends: Sequence[list[int]],
    adapters: Adapters | None,
    stack: Stack | None,
    batch_tokens: int | None,
) -> Iterator[tuple[int, Scored]]:
    """The index of each pair and its score.

    A continuation of one token is read off the logits behind its context: all choices of a
    letter cost one row.

    Args:
        model: one that fits the engine.
        starts: contexts, none empty.
        ends: continuations, none empty.
        adapters: of each pair; None to take the model as it is.
        stack: that holds the adapters.
        batch_tokens: tokens of a pass; chosen when None.
    """
    session = Session(model, stack if adapters is not None else None)
    texts = _texts(starts, ends, adapters)
    wanted = [text.wanted for text in texts]
    kinds = kinds_of([text.adapter for text in texts])
    tree = grow([text.ids for text in texts], _WORTH, 2, wanted, kinds)
    homes: list[Key] = [
        (text.adapter, int(home)) for text, home in zip(texts, tree.homes, strict=True)
    ]
    tokens = batch_tokens or tokens_of(session.device)
    prefixes = Prefixes(tree, [text.ids for text in texts], homes, session.fresh, tokens)
    order = tree.order.tolist()
    vocabulary = int(model.config.get_text_config(decoder=True).vocab_size)
    own = [len(text.ids) - tree.depth(home) for text, (_, home) in zip(texts, homes, strict=True)]
    while order:
        batch = _batch(order, texts, own, tokens, max(1, _LOGITS // vocabulary))
        try:
            with session.open(), torch.inference_mode():
                rows = [
                    Fresh(
                        texts[i].ids[len(texts[i].ids) - own[i] :],
                        prefixes.get(homes[i]),
                        wanted=texts[i].wanted,
                    )
                    for i in batch
                ]
                found = _read(session.fresh(rows), [texts[i] for i in batch])
        except (RuntimeError, MemoryError) as error:
            if not is_shortage(error):
                raise
            if session.last is None or session.last.rows == 1:
                longest = max(len(texts[i].ids) for i in batch)
                raise InputError(f"out of memory with one text of {longest} tokens") from error
            found = []
        if not found:  # outside the handler: its traceback would hold the memory of the pass
            assert session.last is not None
            tokens = max(1, session.last.count // 2)
            prefixes.forget(tokens)
            session.release()
            continue
        del order[: len(batch)]
        for i in batch:
            prefixes.done(homes[i])
        yield from found


def _texts(
    starts: Sequence[list[int]], ends: Sequence[list[int]], adapters: Adapters | None
) -> list[_Text]:
    """What must be run: a continuation's last token is only looked up."""
    found: dict[tuple[int | None, tuple[int, ...]], _Text] = {}
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        key = None if adapters is None else adapters[index], (*start, *end[:-1])
        if key not in found:
            found[key] = _Text(key[1], key[0])
        found[key].add(index, end)
    return list(found.values())


def _batch(
    order: Sequence[int], texts: Sequence[_Text], own: Sequence[int], tokens: int, logits: int
) -> list[int]:
    """The next texts that fit a pass, at least one."""
    batch: list[int] = []
    for i in order:
        tokens -= own[i]
        logits -= texts[i].wanted
        if batch and (tokens < 0 or logits < 0):
            break
        batch.append(i)
    return batch


def _read(logits: Tensor, texts: Sequence[_Text]) -> list[tuple[int, Scored]]:
    """Read the pairs off logits ``(W, V)`` of their texts' last tokens, text by text."""
    logits = logits.float()
    rows: list[int] = []
    targets: list[int] = []
    pairs: list[tuple[int, int]] = []  # index of the pair, its tokens
    first = 0
    for text in texts:
        for index, end in text.pairs:
            rows += range(first + text.wanted - len(end), first + text.wanted)
            targets += end
            pairs.append((index, len(end)))
        first += text.wanted
    at = torch.tensor(rows, device=logits.device)
    wanted = torch.tensor(targets, device=logits.device)
    values = logits[at, wanted].double() - torch.logsumexp(logits, -1)[at].double()
    likeliest = (logits.argmax(-1)[at] == wanted).tolist()
    given = values.tolist()
    found, place = [], 0
    for index, size in pairs:
        stretch = slice(place, place + size)
        found.append((index, (sum(given[stretch]), all(likeliest[stretch]))))
        place += size
    return found
