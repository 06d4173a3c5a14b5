"""Answers in padded batches, for models that the engine cannot take over.

These are models whose layers keep more than one key and one value a token (recurrent, convolutional
or chunked layers, caches shared by layers), or whose attention does not ask transformers for its
function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from lorepack.errors import InputError
from lorepack.llm.cache import RowCache
from lorepack.llm.decode import Engine, Ids, Request, TooWideError
from lorepack.llm.load import LanguageModel
from lorepack.llm.memory import is_shortage
from lorepack.llm.plan import batches, groups

Progress = Callable[[int, int], None]
Answered = Callable[[int, list[Ids]], None]
GROWTH = 3  # a batch may outgrow its budget by this before it is halved
_CPU_TOKENS = 2**15
_CUDA_SHARE = 0.3  # of free memory, for keys and values


def default_batch_tokens(lm: LanguageModel) -> int:
    """Tokens of a batch: by free memory on CUDA, by what the processor's caches like elsewhere."""
    if lm.device.type != "cuda":
        return _CPU_TOKENS
    config = lm.model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    token = 2 * config.num_hidden_layers * heads * size * lm.dtype.itemsize
    free, _ = torch.cuda.mem_get_info(lm.device)
    return max(4096, min(2**18, int(_CUDA_SHARE * free / token / GROWTH)))


class Padded:
    """One call: groups, their prefixes, their batches, and halving where memory runs out."""

    def __init__(
        self,
        engine: Engine,
        prompts: Sequence[Sequence[int]],
        keys: np.ndarray,
        request: Request,
    ) -> None:
        self.engine = engine
        self.prompts = [list(prompt) for prompt in prompts]
        self.keys = keys
        self.request = request

    def answer(self, asked: list[int], tokens: int) -> Iterator[tuple[int, list[Ids]]]:
        """The index of each prompt that is asked and its answers, batch by batch."""
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
                yield from self._batch(batch, prefix)

    def _groups(self, asked: list[int]) -> list[tuple[int, list[int]]]:
        if not asked:
            return []
        if not self.engine.plain:
            return [(0, asked)]
        found = groups([self.prompts[i] for i in asked])
        return [(group.prefix, [asked[i] for i in group.members]) for group in found]

    def _batch(self, batch: list[int], prefix: RowCache | None) -> Iterator[tuple[int, list[Ids]]]:
        """Decode a batch; where it does not fit, its halves."""
        prompts = [self.prompts[i] for i in batch]
        try:
            found = self.engine.decode(prompts, self.keys[batch], self.request, prefix)
        except (TooWideError, RuntimeError, MemoryError) as error:
            if not isinstance(error, TooWideError) and not is_shortage(error):
                raise
            if len(batch) == 1:
                raise self._too_small(prompts[0]) from error
            found = None
        if found is None:  # outside the handler: its traceback would hold the batch's memory
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            middle = len(batch) // 2
            yield from self._batch(batch[:middle], prefix)
            yield from self._batch(batch[middle:], prefix)
            return
        yield from zip(batch, found, strict=True)

    def _too_small(self, prompt: Ids) -> InputError:
        return InputError(
            f"out of memory with one prompt of {len(prompt)} tokens and {self.request.width} "
            "answers; take fewer samples, shorter prompts, or a larger device"
        )
