"""Answers to many prompts: their tree, pools of like length, and less at once where memory is
short."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from lorepack.errors import InputError
from lorepack.llm.chat import Ends
from lorepack.llm.decode import Ids, Request
from lorepack.llm.engine.pool import Pool, Size, Work
from lorepack.llm.engine.prefixes import Prefixes
from lorepack.llm.engine.session import Adapters, Session, kinds_of
from lorepack.llm.engine.tree import Tree, grow
from lorepack.llm.memory import free_bytes, is_shortage
from lorepack.lora import Stack

_WORTH = 64  # tokens that a shared prefix must save
_FEW = 8  # prompts that must share it
_NARROWEST = 32  # prompts with at most so many tokens of their own share a pool
_ROWS = {"cpu": 512, "cuda": 2048}  # decoding gains little beyond
_TOKENS = {"cpu": 4096, "cuda": 32768}  # of new prompts in a pass
_GROWTH = 3  # rows may outgrow their beginnings by this
_SHARE = 0.3  # of free memory, for the states of rows


@dataclass(frozen=True, slots=True)
class Asked:
    """Prompts and who answers them.

    Attributes:
        prompts: token ids, none empty.
        keys: ``(n,)`` uint64, what the draws of each depend on.
        adapters: of each prompt, None for the base; None where the model is taken as it is.
        stack: that holds the adapters.
    """

    prompts: Sequence[Sequence[int]]
    keys: np.ndarray
    adapters: Adapters | None = None
    stack: Stack | None = None


def answers(
    model: Any, asked: Asked, request: Request, ends: Ends, batch_tokens: int | None
) -> Iterator[tuple[int, list[Ids]]]:
    """The index of each prompt and its answers, as they are done.

    Args:
        model: one that fits the engine.
        asked: the prompts.
        request: what is asked of each.
        ends: when an answer ends.
        batch_tokens: tokens that rows hold at once; chosen from the memory when None.

    Raises:
        InputError: memory runs out with one prompt alone.
        NumericError: logits are NaN.
    """
    session = Session(model, asked.stack if asked.adapters is not None else None)
    tree = grow(asked.prompts, _WORTH, _FEW, kinds=kinds_of(asked.adapters))
    every = _work(asked, tree)
    prefixes = Prefixes(
        tree,
        asked.prompts,
        [one.home for one in every],
        session.fresh,
        batch_tokens or tokens_of(session.device),
    )
    for work in _by_length(every):
        yield from _pooled(work, request, batch_tokens, prefixes, session, ends)


def _work(asked: Asked, tree: Tree) -> list[Work]:
    """Every prompt, adapter by adapter, those that share most beside each other."""
    adapters = asked.adapters or [None] * len(asked.prompts)
    depths = np.array([tree.depth(home) for home in range(-1, len(tree.nodes))])[tree.homes + 1]
    homes, cuts, keys = tree.homes.tolist(), depths.tolist(), asked.keys.tolist()
    return [
        Work(i, asked.prompts[i][cuts[i] :], (adapters[i], homes[i]), keys[i])
        for i in tree.order.tolist()
    ]


def _by_length(every: Sequence[Work]) -> list[list[Work]]:
    """Work of like length, longest first: a pool's slots are as wide as its longest row."""
    found: dict[int, list[Work]] = {}
    for one in every:
        found.setdefault(max(_NARROWEST, 1 << (len(one.own) - 1).bit_length()), []).append(one)
    return [found[width] for width in sorted(found, reverse=True)]


def _pooled(
    work: list[Work],
    request: Request,
    batch_tokens: int | None,
    prefixes: Prefixes,
    session: Session,
    ends: Ends,
) -> Iterator[tuple[int, list[Ids]]]:
    """One pool after the other, each half as large, until memory is enough."""
    size = _size(session, work, request, batch_tokens)
    while work:
        pool = Pool(work, request, size, prefixes, session.run, ends, session.device)
        work = []
        found: list[tuple[Work, list[Ids]]] = []
        while pool.busy:
            try:
                with session.open():  # the caller, who acts between two passes, meets no adapter
                    found = pool.advance()
            except (RuntimeError, MemoryError) as error:
                if not is_shortage(error):
                    raise
                work = pool.dropped()
                if session.last is None or session.last.rows == 1:
                    raise _too_small(work[0], request) from error
                break  # out of the handler: its traceback holds the memory of the pass
            for one, texts in found:
                yield one.index, texts
        if work:
            del pool
            assert session.last is not None
            tokens = max(1, session.last.count // 2)
            if session.last.keeps:
                rows = min(size.rows, session.last.rows // 2)
                size = replace(size, rows=rows, most=_GROWTH * rows, tokens=tokens)
            prefixes.forget(tokens)
            session.release()


def _too_small(work: Work, request: Request) -> InputError:
    return InputError(
        f"out of memory with one prompt of {len(work.own)} tokens of its own and {request.width} "
        "answers; take fewer samples, shorter prompts, or a larger device"
    )


def tokens_of(device: torch.device) -> int:
    """Tokens of a pass that a device does well with."""
    return _TOKENS.get(device.type, _TOKENS["cuda"])


def _size(
    session: Session, work: Sequence[Work], request: Request, batch_tokens: int | None
) -> Size:
    """Rows and tokens at once, from what was asked or from the memory that is free."""
    columns = max(len(one.own) for one in work) + request.max_new_tokens
    if batch_tokens is not None:
        rows = max(1, batch_tokens // columns)
        return Size(rows, max(rows, _GROWTH * batch_tokens // columns), batch_tokens)
    rows, free = _ROWS.get(session.device.type, _ROWS["cuda"]), free_bytes(session.device)
    if free is not None:
        token = session.engine.token_bytes
        rows = max(1, min(rows, int(_SHARE * free / (_GROWTH * columns * token))))
    return Size(rows, _GROWTH * rows, tokens_of(session.device))
