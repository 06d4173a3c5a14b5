"""Decoding one batch: a row for every distinct continuation, not for every sample.

Samples of one prompt that have drawn the same tokens so far have the same keys and values, so they
share a row; a row splits when their next tokens differ. At low temperature most samples of a known
fact never part. The texts are those that separate rows would give.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from lorepack.errors import NumericError
from lorepack.llm.cache import RowCache, is_plain, layer_count
from lorepack.llm.chat import Ends
from lorepack.llm.sampling import draw, uniforms

Ids = list[int]
_SPREAD = 6


class TooWideError(Exception):
    """A batch has split into more rows than its share of memory; half of it will fit."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of every prompt.

    Attributes:
        max_new_tokens: most tokens of an answer.
        temperature: 0 for greedy.
        top_k: tokens that sampling keeps; 0 for all.
        samples: answers at ``temperature``.
        greedy: whether one greedy answer comes before them.
        seed: of the draws.
        most_tokens: rows times columns above which a batch is halved.
    """

    max_new_tokens: int
    temperature: float
    top_k: int
    samples: int
    greedy: bool
    seed: int
    most_tokens: int

    @property
    def width(self) -> int:
        """Answers to one prompt."""
        return self.samples + self.greedy

    @property
    def spread(self) -> int:
        """Rows that a prompt is expected to need at once."""
        return 1 if self.temperature == 0 else min(self.width, _SPREAD)


class Engine:
    """A model as decoding sees it: ids in, last logits out.

    Args:
        model: a transformers causal language model; hooks on its modules are honoured.
        ends: when an answer ends.
    """

    def __init__(self, model: Any, ends: Ends) -> None:
        self.model = model
        self.ends = ends
        self.device = next(model.parameters()).device
        self.plain = is_plain(model.config)
        self._layers = layer_count(model.config)
        accepted = inspect.signature(model.forward).parameters
        self._positions = "position_ids" in accepted
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}

    def prefix(self, ids: Sequence[int]) -> RowCache:
        """The states of a shared prefix: one row."""
        cache = RowCache(self._layers, len(ids))
        self._forward(np.array([ids]), np.zeros(1, np.int64), 0, cache)
        return cache

    def decode(
        self,
        prompts: Sequence[Sequence[int]],
        keys: np.ndarray,
        request: Request,
        prefix: RowCache | None = None,
    ) -> list[list[Ids]]:
        """Answer a batch.

        Args:
            prompts: token ids; of equal length unless the engine is ``plain``.
            keys: ``(n,)`` uint64, what the draws of each prompt depend on.
            request: how to answer.
            prefix: states of the tokens that all prompts begin with.

        Returns:
            For every prompt its answers' ids: greedy first where asked, then the samples.

        Raises:
            TooWideError: more distinct answers at once than fit.
            NumericError: the model's logits are NaN.
        """
        with torch.inference_mode():
            batch = _Batch(prompts, keys, request)
            logits, cache = self._begin(batch, prefix)
            for step in range(request.max_new_tokens):
                _check(logits, step)
                tokens = batch.choose(logits, step)
                parents = batch.advance(tokens, step, self.ends)
                if not len(parents):
                    break
                if len(parents) * batch.columns > request.most_tokens and len(prompts) > 1:
                    raise TooWideError
                batch.place(self._arrange(cache, parents), parents)
                column = batch.longest + step
                logits = self._forward(batch.last[:, None], batch.starts, column, cache)
            return batch.answers

    def _begin(self, batch: _Batch, prefix: RowCache | None) -> tuple[torch.Tensor, Any]:
        """Logits ``(n, V)`` behind the prompts, and the cache that holds them."""
        shared = prefix.get_seq_length() if prefix is not None else 0
        ids = batch.aligned()[:, shared:]  # (n, S): shorter rows repeat the prefix's end
        cache: Any
        if self.plain:
            cache = RowCache(self._layers, batch.columns, len(ids) * batch.request.spread)
            if prefix is not None:
                cache.begin(prefix, batch.starts)
        else:
            cache = DynamicCache(config=self.model.config)
        return self._forward(ids, batch.starts, shared, cache), cache

    def _arrange(self, cache: Any, parents: np.ndarray) -> np.ndarray:
        if isinstance(cache, RowCache):
            return cache.arrange(parents)
        cache.reorder_cache(torch.as_tensor(parents, device=self.device))
        return np.arange(len(parents))

    def _forward(
        self, ids: np.ndarray, starts: np.ndarray, column: int, cache: Any
    ) -> torch.Tensor:
        """Logits ``(n, V)`` behind ``ids (n, T)``, which stand in columns ``column`` onwards.

        Args:
            ids: token ids.
            starts: ``(n,)`` the column where each row's text begins; what is before is padding.
            column: columns that the cache holds already.
            cache: states of those columns; extended.
        """
        end = column + ids.shape[1]
        inputs: dict[str, Any] = {**self._last}
        if self._positions:
            places = np.arange(column, end)[None] - starts[:, None]
            inputs["position_ids"] = torch.from_numpy(np.maximum(places, 0)).to(self.device)
        if starts.any():
            real = np.arange(end)[None] >= starts[:, None]  # (n, columns)
            inputs["attention_mask"] = torch.from_numpy(real.astype(np.int64)).to(self.device)
        tokens = torch.from_numpy(np.ascontiguousarray(ids)).to(self.device)
        out = self.model(input_ids=tokens, past_key_values=cache, use_cache=True, **inputs)
        logits: torch.Tensor = out.logits[:, -1]
        return logits


def _check(logits: torch.Tensor, step: int) -> None:
    if bool(torch.isnan(logits.amax())):
        raise NumericError(f"the model's logits are NaN at token {step} of an answer")


class _Batch:
    """The state of a batch: members are wanted answers, rows are distinct continuations."""

    def __init__(
        self, prompts: Sequence[Sequence[int]], keys: np.ndarray, request: Request
    ) -> None:
        count, width = len(prompts), request.width
        self.prompts, self.request = prompts, request
        self.longest = max(len(prompt) for prompt in prompts)
        self.columns = self.longest + request.max_new_tokens
        self.starts = np.array([self.longest - len(prompt) for prompt in prompts])  # (rows,)
        self.answers: list[list[Ids]] = [[[] for _ in range(width)] for _ in prompts]
        self.member_row = np.repeat(np.arange(count), width)  # (m,)
        self.member_prompt = self.member_row.copy()  # (m,)
        self.member_place = np.tile(np.arange(width), count)  # (m,) place among its answers
        self.member_key = np.repeat(keys, width)  # (m,)
        self.history = np.zeros((count, 0), np.int64)  # (rows, step)
        self.begun = np.zeros(count, bool)  # (rows,) whether visible text has come

    @property
    def last(self) -> np.ndarray:
        """``(rows,)`` the newest token of each row."""
        return self.history[:, -1]

    def aligned(self) -> np.ndarray:
        """``(n, L)`` the prompts aligned on the right; what stands before them is masked."""
        ids = np.zeros((len(self.prompts), self.longest), np.int64)
        for row, prompt in enumerate(self.prompts):
            ids[row, self.starts[row] :] = prompt
        return ids

    def choose(self, logits: torch.Tensor, step: int) -> np.ndarray:
        """``(m,)`` the next token of every member, from ``(rows, V)`` logits."""
        request = self.request
        tokens = logits.argmax(-1).cpu().numpy()[self.member_row]
        if request.temperature == 0:
            return tokens
        drawn = self.member_place >= request.greedy
        samples = self.member_place[drawn] - int(request.greedy)
        numbers = uniforms(request.seed, self.member_key[drawn], samples, step)
        rows = torch.from_numpy(self.member_row[drawn]).to(logits.device)
        tokens[drawn] = (
            draw(
                logits,
                rows,
                torch.from_numpy(numbers).to(logits.device),
                request.temperature,
                request.top_k,
            )
            .cpu()
            .numpy()
        )
        return tokens

    def advance(self, tokens: np.ndarray, step: int, ends: Ends) -> np.ndarray:
        """Split rows by their members' tokens, and take out what has ended.

        Returns:
            ``(rows,)`` for every row that goes on, the old row it comes from.
        """
        size = int(tokens.max()) + 1
        pairs, row = np.unique(self.member_row * size + tokens, return_inverse=True)
        parents, token = pairs // size, pairs % size
        ended, begun = ends.step(token, self.begun[parents])
        history = np.concatenate([self.history[parents], token[:, None]], axis=1)
        done = ended | (step + 1 == self.request.max_new_tokens)
        self._finish(row, history, done, ends)
        stays = ~done[row]
        renumbered = np.cumsum(~done) - 1
        self.member_row = renumbered[row[stays]]
        self.member_prompt = self.member_prompt[stays]
        self.member_place = self.member_place[stays]
        self.member_key = self.member_key[stays]
        self.history, self.begun = history[~done], begun[~done]
        return parents[~done]

    def _finish(self, row: np.ndarray, history: np.ndarray, done: np.ndarray, ends: Ends) -> None:
        stopped = ends.is_stop(history[:, -1])
        texts = {
            int(r): (history[r, :-1] if stopped[r] else history[r]).tolist()
            for r in np.flatnonzero(done)
        }
        for member in np.flatnonzero(done[row]):
            answers = self.answers[self.member_prompt[member]]
            answers[self.member_place[member]] = texts[int(row[member])]

    def place(self, order: np.ndarray, parents: np.ndarray) -> None:
        """Follow the cache: place s now holds row ``order[s]``."""
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        self.member_row = back[self.member_row]
        self.history, self.begun = self.history[order], self.begun[order]
        self.starts = self.starts[parents][order]
