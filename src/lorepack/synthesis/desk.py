"""Asking a writer: from the cache where it was asked before, and again where a reply is broken."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lorepack.synthesis.cache import Cache
from lorepack.synthesis.prompts import Prompts
from lorepack.synthesis.structure import ReplyError, checked, tidy
from lorepack.synthesis.writers.writer import Reply, Request, Task, Writer

NO_REPLY, FORMAT, NOTHING = "no_reply", "format", "nothing"
_APART = 1_000
"""between the seeds of requests that are worded alike; more than attempts will ever be"""

Progress = Callable[[str, int, int], None]
"""called as ``progress(stage, done, total)``"""


@dataclass
class Tally:
    """What was asked and what came, of one form."""

    asked: int = 0
    """requests, with those that repeat one whose reply was broken"""
    replies: int = 0
    """with a valid format"""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    """in US dollars, of the replies whose cost is known"""
    kept: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Count in what another one counted."""
        for name in ("asked", "replies", "prompt_tokens", "completion_tokens", "kept"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if other.cost is not None:
            self.cost = (self.cost or 0.0) + other.cost
        self.rejected.update(other.rejected)

    def to_json(self) -> dict[str, Any]:
        """The counts as a JSON object."""
        row = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        cost = None if self.cost is None else round(self.cost, 9)
        return {**row, "cost": cost, "rejected": dict(sorted(self.rejected.items()))}


@dataclass
class Turn:
    """One request on its way to a checked reply; ``value`` stays None where none could be had."""

    first: Request
    tally: Tally
    request: Request = field(init=False)
    """the one that stands: the first, or that with the last problem told"""
    attempts: int = 1
    settled: bool = False
    value: Any = None
    reason: str | None = None
    """why there is no value: `NO_REPLY`, `FORMAT` or `NOTHING`"""
    detail: str = ""
    text: str | None = None
    """of the last reply that was broken"""

    def __post_init__(self) -> None:
        self.request = self.first


class Desk:
    """Where requests of many conversations are answered together.

    Attributes:
        hits: requests that the cache answered.
        misses: requests that the writer was asked.
        failed: those of them that it gave no reply to.
    """

    def __init__(
        self,
        writer: Writer,
        prompts: Prompts,
        cache: Cache,
        *,
        attempts: int,
        temperature: float,
        seed: int,
        max_tokens: int,
        progress: Progress | None = None,
    ) -> None:
        self.hits = self.misses = self.failed = 0
        self._writer, self._prompts, self._cache = writer, prompts, cache
        self._attempts = attempts
        self._drawing: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
        self._seed = seed
        self._progress = progress or (lambda stage, done, total: None)
        self._kept = 0

    def turn(self, task: Task, tally: Tally, before: Counter[str] | None = None) -> Turn:
        """A task, worded.

        Args:
            task: what is asked.
            tally: where it is counted.
            before: what the same conversation asked so far; what it asks twice is drawn anew.

        Raises:
            InputError: a placeholder of the prompt has no value.
        """
        request = self._prompts.of_task(task, seed=self._seed, **self._drawing)
        if before is not None:
            key = request.key("")
            request = dataclasses.replace(request, seed=self._seed + _APART * before[key])
            before[key] += 1
        return Turn(request, tally)

    def answer(self, turns: Sequence[Turn]) -> None:
        """Bring every turn one reply further: it is settled then, or is to be asked again.

        Raises:
            LorepackError: no further reply can be had; what came before is in the cache.
        """
        keys = [turn.request.key(self._writer.identity) for turn in turns]
        replies = self._cache.find(list(dict.fromkeys(keys)))
        pairs = zip(keys, turns, strict=True)
        missing = {key: turn.request for key, turn in pairs if key not in replies}
        self.hits += len(replies)
        self.misses += len(missing)
        if missing:
            replies |= self._written(missing)
        for key, turn in zip(keys, turns, strict=True):
            self._take(turn, replies[key])

    def settle(self, turns: Sequence[Turn]) -> None:
        """Answer turns in as many rounds as it takes."""
        while waiting := [turn for turn in turns if not turn.settled]:
            self.answer(waiting)

    def _written(self, missing: dict[str, Request]) -> dict[str, Reply]:
        keys = list(missing)
        written = dict.fromkeys(keys, Reply(failed="the writer gave no reply"))

        def keep(index: int, reply: Reply) -> None:
            if reply.failed is None:
                clean = dataclasses.replace(reply, text=tidy(reply.text))
                reply = self._cache.keep(keys[index], clean)
            written[keys[index]] = reply
            self._kept += 1
            self._progress("replies", self._kept, self.misses)

        self._writer.write(list(missing.values()), keep)
        self.failed += sum(reply.failed is not None for reply in written.values())
        return written

    def _take(self, turn: Turn, reply: Reply) -> None:
        turn.tally.asked += 1
        turn.tally.prompt_tokens += reply.prompt_tokens
        turn.tally.completion_tokens += reply.completion_tokens
        if reply.cost is not None:
            turn.tally.cost = (turn.tally.cost or 0.0) + reply.cost
        if reply.failed is not None:
            turn.settled, turn.reason, turn.detail = True, NO_REPLY, reply.failed
            return
        try:
            turn.value = checked(reply, self._prompts.shape(turn.first.task.prompt))
            turn.settled = True
            turn.tally.replies += 1
        except ReplyError as error:
            self._doubt(turn, reply, error)

    def _doubt(self, turn: Turn, reply: Reply, error: ReplyError) -> None:
        """Ask again, and tell what was wrong; or leave it."""
        # Who answers a complaint with the very same words would do so again.
        last = turn.attempts == self._attempts or reply.text == turn.text
        turn.detail, turn.text = str(error), reply.text
        if last:
            turn.settled, turn.reason = True, NOTHING if error.nothing else FORMAT
            return
        again = self._prompts.again(turn.first, turn.detail)
        turn.request = dataclasses.replace(again, seed=turn.first.seed + turn.attempts)
        turn.attempts += 1
