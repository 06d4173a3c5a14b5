"""Answers of a model to many prompts, greedy and sampled.

What prompts share is computed once; samples of a prompt share all that they have in common; draws
depend on ``(seed, key, sample, step)`` alone, so that an answer is the same in any batch (to the
rounding of the model's own arithmetic).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from lorepack.errors import InputError
from lorepack.llm import workers
from lorepack.llm.chat import Ends
from lorepack.llm.decode import Engine, Ids, Request
from lorepack.llm.engine.answers import Asked, answers
from lorepack.llm.engine.model import fits
from lorepack.llm.engine.session import check_places
from lorepack.llm.load import LanguageModel
from lorepack.llm.padded import GROWTH, Answered, Padded, Progress, default_batch_tokens
from lorepack.llm.sampling import keys_of
from lorepack.lora import Stack

_LINE = 8
"""tokens of an answer of one line, about"""


def generate(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int = 32,
    temperature: float = 0.0,
    top_k: int = 0,
    samples: int = 1,
    greedy: bool = False,
    seed: int = 0,
    keys: Sequence[int | str] | None = None,
    batch_tokens: int | None = None,
    overlong: str = "error",
    until: str = "line",
    stack: Stack | None = None,
    adapters: Sequence[int | None] | None = None,
    progress: Progress | None = None,
) -> list[list[str]]:
    """What a model answers to each prompt: the first line, or all of it.

    An answer ends at a stop id, at a newline behind its first visible character (unless
    ``until`` is ``turn``), or after ``max_new_tokens``.

    Args:
        lm: the model; hooks on its modules (a stack of adapters) are honoured.
        prompts: token ids, as ``lm.chat.prompt_ids`` makes them.
        max_new_tokens: most tokens of an answer.
        temperature: 0 for greedy.
        top_k: tokens that sampling keeps; 0 for all.
        samples: answers a prompt at ``temperature``.
        greedy: put one greedy answer before the samples, from the same prefill.
        seed: of the draws.
        keys: what a prompt's draws depend on, in place of its index: numbers or strings.
        batch_tokens: tokens in a batch, answers included; chosen from the memory when not given.
        overlong: ``error``, or ``skip`` to answer prompts that do not fit the context with empty
            texts; ``overlong_indices`` tells which they are.
        until: ``line``, or ``turn`` for all that is said up to a stop id, newlines included.
        stack: attached; needed where ``adapters`` is given.
        adapters: the stack's adapter that answers each prompt, None for the base alone.
        progress: called with prompts done and prompts in all.

    Returns:
        For every prompt ``samples`` texts; with ``greedy``, the greedy one before them.

    Raises:
        InputError: an empty prompt, a prompt that does not fit the context, a value out of range,
            an adapter that the stack does not hold.
        NumericError: the model's logits are NaN.
    """
    found = generate_ids(
        lm,
        prompts,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_k=top_k,
        samples=samples,
        greedy=greedy,
        seed=seed,
        keys=keys,
        batch_tokens=batch_tokens,
        overlong=overlong,
        until=until,
        stack=stack,
        adapters=adapters,
        progress=progress,
    )
    return _texts(lm, found, until)


def generate_ids(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int = 32,
    temperature: float = 0.0,
    top_k: int = 0,
    samples: int = 1,
    greedy: bool = False,
    seed: int = 0,
    keys: Sequence[int | str] | None = None,
    batch_tokens: int | None = None,
    overlong: str = "error",
    until: str = "line",
    stack: Stack | None = None,
    adapters: Sequence[int | None] | None = None,
    progress: Progress | None = None,
    answered: Answered | None = None,
) -> list[list[Ids]]:
    """As ``generate``, but token ids, without the stop id and with the newline that ended them.

    An answer of ``max_new_tokens`` ids was cut off, where ``until`` is ``turn``: one that has
    ended is shorter, by its stop id. ``answered`` is called with a prompt's index and its answers
    as soon as its batch is done.
    """
    check_options(max_new_tokens, temperature, top_k, samples, prompts, keys, overlong, until)
    if adapters is not None and (stack is None or len(adapters) != len(prompts)):
        raise InputError(
            f"adapters: {len(adapters)} for {len(prompts)} prompts; expected one a prompt, and the "
            "stack that holds them"
        )
    if adapters is not None and stack is not None:
        check_places(adapters, stack)
    left_out = set(overlong_indices(lm, prompts, max_new_tokens))
    if left_out and overlong == "error":
        i = min(left_out)
        raise InputError(
            f"prompt {i}: {len(prompts[i])} tokens and {max_new_tokens} for the answer do not fit "
            f"the context of {lm.context} tokens of {lm.name} ({len(left_out)} such prompts)"
        )
    if temperature == 0 and greedy:
        samples, greedy = samples + 1, False  # the greedy answer and its equals
    tokens = batch_tokens or default_batch_tokens(lm)
    request = Request(max_new_tokens, temperature, top_k, samples, greedy, seed, GROWTH * tokens)
    numbers = keys_of(range(len(prompts)) if keys is None else keys)
    asked = [i for i in range(len(prompts)) if i not in left_out]
    call = _Call(lm, prompts, numbers, request, until, stack, adapters, batch_tokens)
    found: list[list[Ids]] = [[[] for _ in range(request.width)] for _ in prompts]
    done = 0

    def hear(index: int, ids: list[Ids]) -> None:
        nonlocal done
        found[index], done = ids, done + 1
        if answered is not None:
            answered(index, ids)
        if progress is not None:
            progress(done, len(asked))

    if asked:
        engine = fits(lm.model)  # known before any fork
        workers.carry(call.parts(asked), call.by_engine if engine else call.by_padding, hear)
    return found


def generate_stream(
    lm: LanguageModel,
    prompts: Iterable[Sequence[int]],
    *,
    max_new_tokens: int = 32,
    temperature: float = 0.0,
    top_k: int = 0,
    samples: int = 1,
    greedy: bool = False,
    seed: int = 0,
    keys: Iterable[int | str] | None = None,
    batch_tokens: int | None = None,
    overlong: str = "error",
    until: str = "line",
    stack: Stack | None = None,
    adapters: Iterable[int | None] | None = None,
    window: int = 16384,
) -> Iterator[tuple[int, list[str]]]:
    """As ``generate``, for any number of prompts in bounded memory.

    Prompts, keys and adapters are taken from their iterables a window at a time; the answers are
    those of one call. Prompts that share a prefix should come near each other: it is computed once
    a window.

    Args:
        lm: the model.
        prompts: token ids, made when they are asked for.
        max_new_tokens: most tokens of an answer.
        temperature: 0 for greedy.
        top_k: tokens that sampling keeps; 0 for all.
        samples: answers a prompt at ``temperature``.
        greedy: put one greedy answer before the samples.
        seed: of the draws.
        keys: what a prompt's draws depend on, in place of its index.
        batch_tokens: tokens in a batch.
        overlong: ``error`` or ``skip``.
        until: ``line`` or ``turn``.
        stack: attached; needed where ``adapters`` is given.
        adapters: the stack's adapter that answers each prompt.
        window: prompts held at once.

    Yields:
        The index of each prompt and its texts, in order.

    Raises:
        InputError: as ``generate``, and keys or adapters that end before the prompts.
    """
    if window < 1:
        raise InputError(f"window: got {window}; expected 1 or more")
    asked, named = iter(prompts), None if keys is None else iter(keys)
    chosen, first = None if adapters is None else iter(adapters), 0
    while part := list(islice(asked, window)):
        texts = generate(
            lm,
            part,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            samples=samples,
            greedy=greedy,
            seed=seed,
            keys=range(first, first + len(part)) if named is None else [*islice(named, len(part))],
            batch_tokens=batch_tokens,
            overlong=overlong,
            until=until,
            stack=stack,
            adapters=None if chosen is None else list(islice(chosen, len(part))),
        )
        yield from enumerate(texts, first)
        first += len(part)


def _texts(lm: LanguageModel, found: Sequence[Sequence[Ids]], until: str) -> list[list[str]]:
    """What ids say; every distinct answer is decoded once."""
    decode = lm.chat.decode if until == "line" else lm.chat.decode_turn
    texts: dict[tuple[int, ...], str] = {}
    for row in found:
        for ids in row:
            if (key := tuple(ids)) not in texts:
                texts[key] = decode(ids)
    return [[texts[tuple(ids)] for ids in row] for row in found]


@dataclass(frozen=True, slots=True)
class _Call:
    """A checked call of ``generate_ids``."""

    lm: LanguageModel
    prompts: Sequence[Sequence[int]]
    keys: np.ndarray
    request: Request
    until: str
    stack: Stack | None
    adapters: Sequence[int | None] | None
    batch_tokens: int | None

    def parts(self, asked: Sequence[int]) -> list[list[int]]:
        """The prompts of each process, as indices."""
        most = self.request.max_new_tokens
        length = min(most, _LINE) if self.until == "line" else most
        found = workers.parts(
            self.lm.model,
            [self.prompts[i] for i in asked],
            length * self.request.spread,
            self._adapters(asked),
        )
        return [[asked[place] for place in part] for part in found]

    def by_engine(self, part: Sequence[int]) -> Iterator[tuple[int, list[Ids]]]:
        """Some prompts in one pass over the tree of their prefixes: places in ``part``, answers."""
        asked = Asked(
            [self.prompts[i] for i in part], self.keys[part], self._adapters(part), self.stack
        )
        return answers(self.lm.model, asked, self.request, self._ends, self.batch_tokens)

    def by_padding(self, part: Sequence[int]) -> Iterator[tuple[int, list[Ids]]]:
        """Likewise in padded batches, one adapter after the other."""
        tokens = self.batch_tokens or default_batch_tokens(self.lm)
        prompts = [self.prompts[i] for i in part]
        run = Padded(Engine(self.lm.model, self._ends), prompts, self.keys[part], self.request)
        adapters = self._adapters(part)
        if adapters is None:
            yield from run.answer(list(range(len(part))), tokens)
            return
        assert self.stack is not None
        for adapter in dict.fromkeys(adapters):
            mine = [place for place, other in enumerate(adapters) if other == adapter]
            batches = run.answer(mine, tokens)
            while True:  # between two batches the caller meets no adapter
                with self.stack.attached(), self.stack.using(adapter):
                    batch = next(batches, None)
                if batch is None:
                    break
                yield batch

    def _adapters(self, part: Sequence[int]) -> list[int | None] | None:
        return None if self.adapters is None else [self.adapters[i] for i in part]

    @property
    def _ends(self) -> Ends:
        return self.lm.chat.line_ends if self.until == "line" else self.lm.chat.turn_ends


def check_options(
    max_new_tokens: int,
    temperature: float,
    top_k: int,
    samples: int,
    prompts: Sequence[Sequence[int]],
    keys: Sequence[int | str] | None,
    overlong: str,
    until: str,
) -> None:
    for name, value, least in (
        ("max_new_tokens", max_new_tokens, 1),
        ("temperature", temperature, 0),
        ("top_k", top_k, 0),
        ("samples", samples, 1),
    ):
        if not value >= least:
            raise InputError(f"{name}: got {value}; expected {least} or more")
    if overlong not in ("error", "skip"):
        raise InputError(f"overlong: got {overlong!r}; expected error or skip")
    if until not in ("line", "turn"):
        raise InputError(f"until: got {until!r}; expected line or turn")
    if keys is not None and len(keys) != len(prompts):
        raise InputError(f"keys: {len(keys)} for {len(prompts)} prompts; expected one a prompt")
    empty = next((i for i, prompt in enumerate(prompts) if not len(prompt)), None)
    if empty is not None:
        raise InputError(f"prompt {empty}: no tokens; expected at least one")


def overlong_indices(
    lm: LanguageModel, prompts: Sequence[Sequence[int]], max_new_tokens: int = 32
) -> list[int]:
    """Which prompts leave less than ``max_new_tokens`` of the model's context for the answer."""
    return [i for i, p in enumerate(prompts) if len(p) + max_new_tokens > lm.context]
