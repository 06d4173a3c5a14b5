"""Answers to many prompts: their tree, pools of like length, and less at once where memory is
short."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lorepack.errors import InputError
from lorepack.llm.chat import Ends
from lorepack.llm.decode import Ids, Request
from lorepack.llm.engine.adapters import Company
from lorepack.llm.engine.layout import Going, Layout
from lorepack.llm.engine.model import Model
from lorepack.llm.engine.pool import Pool, Size, Work
from lorepack.llm.engine.prefixes import Prefixes
from lorepack.llm.engine.states import Slots
from lorepack.llm.engine.tree import grow
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
    adapters: Sequence[int | None] | None = None
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
    engine = Model(model)
    company = Company(asked.stack) if asked.stack is not None and asked.adapters else None

    def run(layout: Layout, slots: Slots | None) -> Tensor:
        if company is not None:
            company.runs = layout.adapters
        return engine.run(layout, slots)

    tree = grow(asked.prompts, _WORTH, _FEW)
    every = _work(asked, tree.order, tree.homes, tree)
    tokens = batch_tokens or _TOKENS.get(engine.device.type, _TOKENS["cuda"])
    prefixes = Prefixes(
        tree,
        asked.prompts,
        [one.home for one in every],
        lambda rows: run(Layout(rows, Going.none(), [], engine.device), None),
        tokens,
    )
    with company.acting() if company is not None else nullcontext():
        for work in _by_length(every):
            yield from _pooled(work, request, batch_tokens, prefixes, run, ends, engine)


def _work(asked: Asked, order: np.ndarray, homes: np.ndarray, tree: Any) -> list[Work]:
    """Every prompt, adapter by adapter, those that share most beside each other."""
    adapters = asked.adapters or [None] * len(asked.prompts)
    found = [
        Work(
            i,
            asked.prompts[i][tree.depth(homes[i]) :],
            (adapters[i], int(homes[i])),
            int(asked.keys[i]),
        )
        for i in order.tolist()
    ]
    found.sort(key=lambda one: -1 if one.home[0] is None else one.home[0])
    return found


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
    run: Any,
    ends: Ends,
    engine: Model,
) -> Iterator[tuple[int, list[Ids]]]:
    """One pool after the other, each half as large, until memory is enough."""
    size = _size(engine, work, request, batch_tokens)
    while work:
        short = False
        try:
            pool = Pool(work, request, size, prefixes, run, ends, engine.device)
            work = []
            for one, found in pool.answers():
                yield one.index, found
        except (RuntimeError, MemoryError) as error:
            if not is_shortage(error):
                raise
            short = True
            work = work or pool.dropped()
            if size.rows == 1:
                raise InputError(
                    f"out of memory with one prompt of {max(len(w.own) for w in work)} tokens "
                    f"and {request.width} answers; take fewer samples, shorter prompts, or a "
                    "larger device"
                ) from error
        if short:  # outside the handler: its traceback would hold the memory of the pass
            del pool
            prefixes.forget()
            gc.collect()
            if engine.device.type == "cuda":
                torch.cuda.empty_cache()
            rows = min(size.rows, len(work)) // 2 or 1
            size = replace(size, rows=rows, most=_GROWTH * rows, tokens=max(1, size.tokens // 2))


def _size(engine: Model, work: Sequence[Work], request: Request, batch_tokens: int | None) -> Size:
    """Rows and tokens at once, from what was asked or from the memory that is free."""
    columns = max(len(one.own) for one in work) + request.max_new_tokens
    if batch_tokens is not None:
        rows = max(1, batch_tokens // columns)
        most = max(rows, _GROWTH * batch_tokens // columns)
        return Size(min(rows, 1 << 14), most, batch_tokens)
    kind = engine.device.type if engine.device.type in _ROWS else "cuda"
    rows, free = _ROWS[kind], free_bytes(engine.device)
    if free is not None:
        rows = min(rows, int(_SHARE * free / (_GROWTH * columns * engine.token_bytes)))
    rows = max(1, rows)
    return Size(rows, _GROWTH * rows, _TOKENS[kind])
