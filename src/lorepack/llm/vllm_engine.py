"""vLLM behind the interface of ``generate``: prefix caching on, adapters as LoRA requests.

An extra (``vllm``). Its kernels round differently from ours, so that some answers differ; the first
greedy call compares a few of its prompts and says how many.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lorepack.errors import InputError, NotFoundError
from lorepack.llm.generate import check_options, generate, overlong_indices
from lorepack.llm.load import LanguageModel
from lorepack.llm.sampling import key_of, keys_of
from lorepack.lora import Stack

_COMPARED = 16


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a sample of greedy answers compares with ours.

    Attributes:
        asked: answers compared.
        differing: those that are not the same text.
    """

    asked: int
    differing: int


class VllmEngine:
    """A model served by vLLM in this process.

    Args:
        name: a folder or a hub id.
        adapters: folders of adapters in PEFT's format; ``generate`` names them by their index.
        rank: the largest rank among them.
        compared: prompts of the first greedy call to compare with ``llm.generate``; 0 for none.
        note: called with one line about the comparison.
        options: further arguments of ``vllm.LLM``.

    Raises:
        NotFoundError: vLLM is not installed.
    """

    def __init__(
        self,
        name: str | Path,
        adapters: Sequence[Path | str] = (),
        *,
        rank: int = 16,
        compared: int = _COMPARED,
        note: Callable[[str], None] | None = None,
        **options: Any,
    ) -> None:
        self._vllm = _module("vllm")
        self.adapters = tuple(Path(folder) for folder in adapters)
        given: dict[str, Any] = {"enable_prefix_caching": True}
        if self.adapters:
            given |= {"enable_lora": True, "max_lora_rank": rank}
            self._request = _module("vllm.lora.request").LoRARequest
        self._llm = self._vllm.LLM(model=str(name), **(given | options))
        self._compared, self._note = compared, note
        self.comparison: Comparison | None = None

    def generate(
        self,
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
        progress: Callable[[int, int], None] | None = None,
    ) -> list[list[str]]:
        """As ``lorepack.llm.generate``, argument by argument.

        ``lm`` gives the tokenizer and answers the prompts that are compared; ``batch_tokens`` is
        vLLM's own affair; ``adapters`` are indices of the folders, and of ``stack`` where one is
        given to compare with. Draws are vLLM's, seeded by seed and key.

        Raises:
            InputError: as ``generate``, or an adapter that there is no folder of.
        """
        check_options(max_new_tokens, temperature, top_k, samples, prompts, keys, overlong, until)
        self._check_adapters(prompts, adapters)
        left_out = set(overlong_indices(lm, prompts, max_new_tokens))
        if left_out and overlong == "error":
            raise InputError(f"prompt {min(left_out)} does not fit {lm.context} tokens")
        asked = [i for i in range(len(prompts)) if i not in left_out]
        numbers = keys_of(range(len(prompts)) if keys is None else keys)
        shared = {"max_tokens": max_new_tokens, "stop_token_ids": list(lm.chat.stop_ids)}
        kinds = []
        if greedy or temperature == 0:
            kinds.append((1 if temperature else samples + greedy, {"temperature": 0.0}))
        if temperature:
            kinds.append((samples, {"temperature": temperature, "top_k": top_k or -1}))
        decode = _first_line if until == "line" else str.strip
        found: list[list[str]] = [[] for _ in prompts]
        for count, options in kinds:
            width = 1 if options["temperature"] == 0 else count
            params = {
                i: shared
                | options
                | {"n": width, "seed": key_of(seed * 0x9E3779B97F4A7C15 + int(numbers[i])) >> 33}
                for i in asked
            }
            for i, texts in self._say(prompts, params, adapters, until == "line"):
                found[i] += [decode(text) for text in texts] * (count // width)
        for i in left_out:
            found[i] = [""] * (samples + greedy)
        if progress is not None:
            progress(len(asked), len(asked))
        if temperature == 0 and self.comparison is None and self._compared and asked:
            self._compare(lm, prompts, asked, found, max_new_tokens, until, stack, adapters)
        return found

    def _say(
        self,
        prompts: Sequence[Sequence[int]],
        params: dict[int, dict[str, Any]],
        adapters: Sequence[int | None] | None,
        line: bool,
    ) -> Iterable[tuple[int, list[str]]]:
        """Texts of every prompt. vLLM stops at any newline; an answer that began with one is
        asked for again, to its full length."""
        found = self._texts(prompts, params, adapters, {"stop": ["\n"]} if line else {})
        blank = [i for i, texts in found.items() if line and not all(t.strip() for t in texts)]
        if blank:
            found |= self._texts(prompts, {i: params[i] for i in blank}, adapters, {})
        return found.items()

    def _texts(
        self,
        prompts: Sequence[Sequence[int]],
        params: dict[int, dict[str, Any]],
        adapters: Sequence[int | None] | None,
        further: dict[str, Any],
    ) -> dict[int, list[str]]:
        if not params:
            return {}
        outputs = self._llm.generate(
            [{"prompt_token_ids": list(prompts[i])} for i in params],
            [self._vllm.SamplingParams(**one, **further) for one in params.values()],
            lora_request=None
            if adapters is None
            else [self._lora(adapter) for adapter in (adapters[i] for i in params)],
            use_tqdm=False,
        )
        return {
            i: [str(one.text) for one in output.outputs]
            for i, output in zip(params, outputs, strict=True)
        }

    def _lora(self, adapter: int | None) -> Any:
        if adapter is None:
            return None
        folder = self.adapters[adapter]
        return self._request(f"{adapter} {folder.name}", adapter + 1, str(folder.resolve()))

    def _check_adapters(
        self, prompts: Sequence[Sequence[int]], adapters: Sequence[int | None] | None
    ) -> None:
        if adapters is None:
            return
        if len(adapters) != len(prompts):
            raise InputError(f"adapters: {len(adapters)} for {len(prompts)} prompts")
        for adapter in adapters:
            if adapter is not None and not 0 <= adapter < len(self.adapters):
                raise InputError(f"adapter {adapter}; expected one of {len(self.adapters)} folders")

    def _compare(
        self,
        lm: LanguageModel,
        prompts: Sequence[Sequence[int]],
        asked: Sequence[int],
        found: Sequence[Sequence[str]],
        max_new_tokens: int,
        until: str,
        stack: Stack | None,
        adapters: Sequence[int | None] | None,
    ) -> None:
        """Answer a few prompts, evenly apart, ourselves."""
        some = [i for i in asked if adapters is None or adapters[i] is None or stack is not None]
        some = some[:: max(1, len(some) // self._compared)][: self._compared]
        if not some:
            return
        with_stack = stack is not None and adapters is not None
        ours = generate(
            lm,
            [prompts[i] for i in some],
            max_new_tokens=max_new_tokens,
            until=until,
            stack=stack if with_stack else None,
            adapters=[adapters[i] for i in some] if with_stack and adapters else None,
        )
        differing = sum(found[i][0] != texts[0] for i, texts in zip(some, ours, strict=True))
        self.comparison = Comparison(len(some), differing)
        if self._note is not None:
            self._note(f"vllm: {differing} of {len(some)} greedy answers differ from ours")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip()


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotFoundError(
            f"vllm cannot be imported ({error}); pip install 'lorepack[vllm]', or leave the engine "
            "out to use the built-in one"
        ) from error
