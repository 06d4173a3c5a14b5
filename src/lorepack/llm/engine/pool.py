"""Rows that decode together: refilled as they end, split where samples part.

A row is a distinct continuation of a prompt; its members are the answers that have drawn the same
tokens so far. A pass carries on every row by one token and begins new ones in the slots that are
free, so that batches stay wide to the end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lorepack.errors import NumericError
from lorepack.llm.chat import Ends
from lorepack.llm.decode import Ids, Request
from lorepack.llm.engine.layout import Fresh, Going, Layout
from lorepack.llm.engine.prefixes import Key, Prefixes
from lorepack.llm.engine.states import Context, Slots
from lorepack.llm.sampling import draw, uniforms

Run = Callable[[Layout, Slots | None], Tensor]
"""a layout's wanted logits (W, V)"""
_LEAST_SHARE = 8  # a refill waits until one slot in so many is free
_LEARNS = 0.2  # of each pass, about how many rows a prompt's samples take


@dataclass(frozen=True, slots=True)
class Work:
    """A prompt to answer.

    Attributes:
        index: its number in the call.
        own: its tokens behind its context.
        home: adapter and node of its context.
        key: what its draws depend on.
    """

    index: int
    own: Sequence[int]
    home: Key
    key: int


@dataclass(frozen=True, slots=True)
class Size:
    """How much is decoded at once.

    Attributes:
        rows: rows that begin together.
        most: rows there may be once they have split.
        tokens: tokens of new prompts in a pass.
    """

    rows: int
    most: int
    tokens: int


class Pool:
    """Answers prompts of like length.

    Args:
        work: the prompts, those that share most beside each other.
        request: what is asked.
        size: how much at once.
        prefixes: their contexts.
        run: the model.
        ends: when an answer ends.
        device: where the model is.
    """

    def __init__(
        self,
        work: Sequence[Work],
        request: Request,
        size: Size,
        prefixes: Prefixes,
        run: Run,
        ends: Ends,
        device: torch.device,
    ) -> None:
        self.request, self.size, self.prefixes = request, size, prefixes
        self.run, self.ends, self.device = run, ends, device
        self.queue = deque(work)
        columns = max(len(one.own) for one in work) + request.max_new_tokens
        self._spread = float(min(2, request.width)) if request.temperature else 1.0
        room = min(size.rows, len(work) * request.width)
        self.slots = Slots(columns, room, size.most)
        self._begin(room)

    def _begin(self, room: int) -> None:
        new = self.request.max_new_tokens
        self.live: dict[int, _Prompt] = {}
        self.free = list(range(room))[::-1]
        self.rows = np.zeros(0, np.int64)  # (r,) slots in use
        self.length = np.zeros(room, np.int64)  # (slots,) tokens in the slot
        self.step = np.zeros(room, np.int64)  # (slots,) tokens drawn
        self.home = np.zeros(room, np.int64)  # (slots,) number of its prompt
        self.begun = np.zeros(room, bool)  # (slots,) whether visible text has come
        self.history = np.zeros((room, new), np.int64)  # (slots, new)
        self.member_slot = np.zeros(0, np.int64)  # (m,)
        self.member_place = np.zeros(0, np.int64)  # (m,) place among its prompt's answers
        self.member_key = np.zeros(0, np.uint64)  # (m,)

    @property
    def busy(self) -> bool:
        """Whether a prompt is not answered yet."""
        return bool(self.queue or self.live)

    def dropped(self) -> list[Work]:
        """What is not answered yet: after an error, what another pool goes on with."""
        return [*(one.work for one in self.live.values()), *self.queue]

    @torch.inference_mode()
    def advance(self) -> list[tuple[Work, list[Ids]]]:
        """One pass; the prompts that it has brought to their end, and their answers.

        Raises:
            NumericError: the model's logits are NaN.
        """
        contexts, going = self._going()
        fresh = self._refill()
        logits = self.run(Layout(fresh, going, contexts, self.device), self.slots)
        if bool(torch.isnan(logits.amax())):
            raise NumericError("the model's logits are NaN")
        self.length[self.rows] += 1
        begun = np.array([row.slot for row in fresh], np.int64)
        self._seat(begun)
        self.rows = np.concatenate([begun, self.rows])
        tokens = self._choose(logits)
        while (needed := self._needed(tokens)) > len(self.free) and not self._grow(needed):
            tokens = self._evict(tokens)
        return self._advance(tokens)

    def _going(self) -> tuple[list[Context], Going]:
        """The rows that go on, and their contexts."""
        rows = self.rows
        homes, which = np.unique(self.home[rows], return_inverse=True)
        numbers: dict[int, int] = {}
        contexts: list[Context] = []
        of_home = np.zeros(len(homes), np.int64)
        for i, index in enumerate(homes.tolist()):
            context = self.live[index].context
            if id(context) not in numbers:
                numbers[id(context)] = len(contexts)
                contexts.append(context)
            of_home[i] = numbers[id(context)]
        tokens = self.history[rows, np.maximum(self.step[rows] - 1, 0)]
        return contexts, Going(rows, tokens, self.length[rows], of_home[which])

    def _refill(self) -> list[Fresh]:
        """New prompts for the slots that are free."""
        fresh: list[Fresh] = []
        tokens = 0
        if self.live:
            self._spread += _LEARNS * (len(self.rows) / len(self.live) - self._spread)
        room = int((self.size.rows - len(self.rows)) / max(1.0, self._spread))
        if len(self.rows) and room * self._spread * _LEAST_SHARE < self.size.rows:
            return fresh
        while self.queue and self.free and (room > 0 or not (len(self.rows) or fresh)):
            work = self.queue[0]
            if fresh and tokens + len(work.own) > self.size.tokens:
                break
            context = self.prefixes.get(work.home)
            self.queue.popleft()
            slot = self.free.pop()
            self.live[work.index] = _Prompt(work, context, self.request.width)
            fresh.append(Fresh(work.own, context, slot))
            self.length[slot], self.step[slot] = len(work.own), 0
            self.begun[slot], self.home[slot] = False, work.index
            tokens += len(work.own)
            room -= 1
        return fresh

    def _seat(self, slots: np.ndarray) -> None:
        """The members of new prompts, all of one prompt in one row."""
        width = self.request.width
        keys = np.array([self.live[i].work.key for i in self.home[slots].tolist()], np.uint64)
        self.member_slot = np.concatenate([self.member_slot, np.repeat(slots, width)])
        self.member_place = np.concatenate(
            [self.member_place, np.tile(np.arange(width), len(slots))]
        )
        self.member_key = np.concatenate([self.member_key, np.repeat(keys, width)])

    def _choose(self, logits: Tensor) -> np.ndarray:
        """``(m,)`` the next token of every member, from ``(r, V)`` logits of the rows."""
        request = self.request
        where = np.empty(len(self.length), np.int64)
        where[self.rows] = np.arange(len(self.rows))
        row = where[self.member_slot]
        tokens: np.ndarray = logits.argmax(-1).cpu().numpy()[row]
        if request.temperature == 0:
            return tokens
        drawn = self.member_place >= request.greedy
        numbers = uniforms(
            request.seed,
            self.member_key[drawn],
            self.member_place[drawn] - int(request.greedy),
            self.step[self.member_slot[drawn]],
        )
        at = torch.from_numpy(row[drawn]).to(logits.device)
        found = draw(
            logits,
            at,
            torch.from_numpy(numbers).to(logits.device),
            request.temperature,
            request.top_k,
        )
        tokens[drawn] = found.cpu().numpy()
        return tokens

    def _children(self, tokens: np.ndarray) -> _Children:
        """The distinct continuations of the rows."""
        size = int(tokens.max()) + 1
        pairs, which = np.unique(self.member_slot * size + tokens, return_inverse=True)
        parents, token = pairs // size, pairs % size
        ended, begun = self.ends.step(token, self.begun[parents])
        ended = ended | (self.step[parents] + 1 == self.request.max_new_tokens)
        return _Children(parents, token, ended, begun, which)

    def _needed(self, tokens: np.ndarray) -> int:
        """Slots that splitting rows need beyond those that it frees."""
        children = self._children(tokens)
        return int((~children.ended).sum()) - len(self.rows)

    def _grow(self, needed: int) -> bool:
        """Make room for so many more rows; False where there may be no more slots."""
        before = self.slots.capacity
        if len(self.live) == 1:  # nobody else can give way
            self.slots.most = max(self.slots.most, before + needed)
        while len(self.free) + self.slots.capacity - before < needed and self.slots.grow():
            pass
        more = self.slots.capacity - before
        self.free = [*range(before + more - 1, before - 1, -1), *self.free]
        for name in ("length", "step", "home", "begun", "history"):
            old: np.ndarray = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros((more, *old.shape[1:]), old.dtype)]))
        return len(self.free) >= needed

    def _evict(self, tokens: np.ndarray) -> np.ndarray:
        """Put the youngest prompt back in the queue; its answers will be the same later."""
        assert len(self.live) > 1
        index = next(reversed(self.live))
        self.queue.appendleft(self.live.pop(index).work)
        gone = self.home[self.rows] == index
        self.free += self.rows[gone].tolist()
        self.rows = self.rows[~gone]
        stays = self.home[self.member_slot] != index
        self._keep_members(stays)
        return tokens[stays]

    def _keep_members(self, stays: np.ndarray) -> None:
        self.member_slot = self.member_slot[stays]
        self.member_place = self.member_place[stays]
        self.member_key = self.member_key[stays]

    def _advance(self, tokens: np.ndarray) -> list[tuple[Work, list[Ids]]]:
        """Write the members' tokens, split their rows, and give out the prompts that are done."""
        children = self._children(tokens)
        alive = ~children.ended
        parents = children.parents[alive]
        kept, first = np.unique(parents, return_index=True)
        self.free += np.setdiff1d(self.rows, kept, assume_unique=True).tolist()
        slots = np.full(len(parents), -1, np.int64)
        slots[first] = parents[first]
        split = np.flatnonzero(slots < 0)
        slots[split] = [self.free.pop() for _ in split]
        self.slots.copy(slots[split], parents[split], int(self.length[parents].max(initial=0)))
        done = list(self._ended(children))  # behind what can run out of memory
        for name in ("length", "step", "home", "history"):
            values: np.ndarray = getattr(self, name)
            values[slots[split]] = values[parents[split]]
        self.history[slots, self.step[slots]] = children.tokens[alive]
        self.step[slots] += 1
        self.begun[slots] = children.begun[alive]
        self.rows = slots
        of_child = np.full(len(children.ended), -1, np.int64)
        of_child[alive] = slots
        stays = alive[children.which]
        self._keep_members(stays)
        self.member_slot = of_child[children.which[stays]]
        return done

    def _ended(self, children: _Children) -> Iterator[tuple[Work, list[Ids]]]:
        """Hand out the answers of the rows that end."""
        stops = self.ends.is_stop(children.tokens)
        texts: dict[int, Ids] = {}
        for child in np.flatnonzero(children.ended).tolist():
            parent, token = int(children.parents[child]), int(children.tokens[child])
            before = self.history[parent, : self.step[parent]].tolist()
            texts[child] = before if stops[child] else [*before, token]
        members = np.flatnonzero(children.ended[children.which])
        homes = self.home[self.member_slot[members]].tolist()
        places = self.member_place[members].tolist()
        which = children.which[members].tolist()
        for index, place, child in zip(homes, places, which, strict=True):
            prompt = self.live[index]
            prompt.answers[place] = texts[child]
            prompt.left -= 1
            if not prompt.left:
                del self.live[index]
                self.prefixes.done(prompt.work.home)
                yield prompt.work, prompt.answers


@dataclass(frozen=True, slots=True)
class _Children:
    """What rows go on to: c distinct pairs of a row and a token.

    Attributes:
        parents: ``(c,)`` slots.
        tokens: ``(c,)`` ids.
        ended: ``(c,)`` whether the answer ends with it.
        begun: ``(c,)`` whether it has visible text now.
        which: ``(m,)`` the child of every member.
    """

    parents: np.ndarray
    tokens: np.ndarray
    ended: np.ndarray
    begun: np.ndarray
    which: np.ndarray


class _Prompt:
    """A prompt under way."""

    def __init__(self, work: Work, context: Context, width: int) -> None:
        self.work, self.context = work, context
        self.answers: list[list[int]] = [[] for _ in range(width)]
        self.left = width
