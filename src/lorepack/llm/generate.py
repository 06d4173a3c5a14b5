"""Answers of a model to many prompts, greedy and sampled, in batches that fit.

A prefix that prompts share is computed once; samples of a prompt share all that they have in
common; draws depend on ``(seed, key, sample, step)`` alone, so that an answer is the same in any
batch (to the rounding of the model's own arithmetic).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from lorepack.errors import InputError
from lorepack.llm.cache import RowCache
from lorepack.llm.decode import Engine, Ids, Request, TooWideError
from lorepack.llm.engine.answers import Asked, answers
from lorepack.llm.engine.model import fits
from lorepack.llm.load import LanguageModel
from lorepack.llm.plan import batches, groups
from lorepack.llm.sampling import keys_of
from lorepack.lora import Stack

Progress = Callable[[int, int], None]
Answered = Callable[[int, list[Ids]], None]
_CPU_TOKENS = 2**15
_CUDA_SHARE = 0.3  # of free memory, for keys and values
_GROWTH = 3  # a batch may outgrow its budget by this before it is halved


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
        InputError: an empty prompt, a prompt that does not fit the context, a value out of range.
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
    decode = lm.chat.decode if until == "line" else lm.chat.decode_turn
    distinct = {tuple(ids) for answers in found for ids in answers}
    texts = {ids: decode(ids) for ids in distinct}
    return [[texts[tuple(ids)] for ids in answers] for answers in found]


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
    _check(max_new_tokens, temperature, top_k, samples, prompts, keys, overlong, until)
    left_out = set(overlong_indices(lm, prompts, max_new_tokens))
    if left_out and overlong == "error":
        i = min(left_out)
        raise InputError(
            f"prompt {i}: {len(prompts[i])} tokens and {max_new_tokens} for the answer do not fit "
            f"the context of {lm.context} tokens of {lm.name} ({len(left_out)} such prompts)"
        )
    if temperature == 0 and greedy:
        samples, greedy = samples + 1, False  # the greedy answer and its equals
    ends = lm.chat.line_ends if until == "line" else lm.chat.turn_ends
    tokens = batch_tokens or default_batch_tokens(lm)
    request = Request(max_new_tokens, temperature, top_k, samples, greedy, seed, _GROWTH * tokens)
    numbers = keys_of(range(len(prompts)) if keys is None else keys)
    asked = [i for i in range(len(prompts)) if i not in left_out]
    assert adapters is None or (stack is not None and len(adapters) == len(prompts))
    if asked and fits(lm.model):
        found: list[list[Ids]] = [[[] for _ in range(request.width)] for _ in prompts]
        mine = Asked(
            [prompts[i] for i in asked],
            numbers[asked],
            None if adapters is None else [adapters[i] for i in asked],
            stack,
        )
        for done, (place, answers_) in enumerate(
            answers(lm.model, mine, request, ends, batch_tokens), 1
        ):
            i = asked[place]
            found[i] = answers_
            if answered is not None:
                answered(i, answers_)
            if progress is not None:
                progress(done, len(asked))
        return found
    engine = Engine(lm.model, ends)
    run = _Run(engine, prompts, numbers, request, answered)
    if adapters is None:
        return run.answer(asked, tokens, progress)
    for adapter in dict.fromkeys(adapters):
        assert stack is not None
        with stack.using(adapter):
            run.answer([i for i in asked if adapters[i] == adapter], tokens, progress)
    return run.answers


def _check(
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


def default_batch_tokens(lm: LanguageModel) -> int:
    """Tokens of a batch: by free memory on CUDA, by what the processor's caches like elsewhere."""
    if lm.device.type != "cuda":
        return _CPU_TOKENS
    config = lm.model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token = 2 * config.num_hidden_layers * heads * size * lm.dtype.itemsize
    free, _ = torch.cuda.mem_get_info(lm.device)
    return max(4096, min(2**18, int(_CUDA_SHARE * free / token / _GROWTH)))


class _Run:
    """One call: groups, their prefixes, their batches, and halving where memory runs out."""

    def __init__(
        self,
        engine: Engine,
        prompts: Sequence[Sequence[int]],
        keys: np.ndarray,
        request: Request,
        answered: Answered | None,
    ) -> None:
        self.engine = engine
        self.answered = answered
        self.prompts = [list(prompt) for prompt in prompts]
        self.keys = keys
        self.request = request
        self.answers: list[list[Ids]] = [[[] for _ in range(request.width)] for _ in prompts]
        self.done = 0

    def answer(self, asked: list[int], tokens: int, progress: Progress | None) -> list[list[Ids]]:
        """Answers of all prompts; those not asked stay empty."""
        lengths = [len(prompt) for prompt in self.prompts]
        for size, members in self._groups(asked):
            prefix = None
            if size:
                with torch.inference_mode():
                    prefix = self.engine.prefix(self.prompts[members[0]][:size])
            for batch in batches(
                members,
                lengths,
                tokens // self.request.spread,
                self.request.max_new_tokens,
                equal=not self.engine.plain,
            ):
                self._batch(batch, prefix)
                self.done += len(batch)
                if progress is not None:
                    progress(self.done, len(asked))
        return self.answers

    def _groups(self, asked: list[int]) -> list[tuple[int, list[int]]]:
        if not asked:
            return []
        if not self.engine.plain:
            return [(0, asked)]
        found = groups([self.prompts[i] for i in asked])
        return [(group.prefix, [asked[i] for i in group.members]) for group in found]

    def _batch(self, batch: list[int], prefix: RowCache | None) -> None:
        """Decode a batch; where it does not fit, its halves."""
        prompts = [self.prompts[i] for i in batch]
        try:
            found = self.engine.decode(prompts, self.keys[batch], self.request, prefix)
        except (TooWideError, torch.OutOfMemoryError) as error:
            if len(batch) == 1:
                raise self._too_small(prompts[0]) from error
            found = None
        if found is None:  # outside the handler: its traceback would hold the batch's memory
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            middle = len(batch) // 2
            self._batch(batch[:middle], prefix)
            self._batch(batch[middle:], prefix)
            return
        for i, answers in zip(batch, found, strict=True):
            self.answers[i] = answers
            if self.answered is not None:
                self.answered(i, answers)

    def _too_small(self, prompt: Ids) -> InputError:
        return InputError(
            f"out of memory with one prompt of {len(prompt)} tokens and {self.request.width} "
            "answers; take fewer samples, shorter prompts, or a larger device"
        )
