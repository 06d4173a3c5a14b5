"""Our loaded model as the harness's own kind of model: its tokenisation, our engine.

Importing this module imports lm-evaluation-harness.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from lorepack.errors import InputError, NumericError
from lorepack.llm import LanguageModel, generate_ids, score_pairs
from lorepack.lora import Stack

Ids = list[int]
Pair = tuple[Ids, Ids]
"""token ids of a context and of what continues it"""
Likelihood = tuple[float, bool]
"""log-probability of a continuation in nats, and whether greedy decoding would write it"""
Progress = Callable[[int, int], None]

_CHUNK = 2048  # pairs a call of the engine: what is lost when a run is stopped
_TEXTS = 1024  # texts a call of the engine
_FIRST = 64  # tokens that are written before anything is looked for in them


class HarnessModel(TemplateLM):
    """A `LanguageModel` for lm-evaluation-harness, alone or with adapters of a stack.

    Args:
        lm: the model.
        stack: attached, where adapters are measured.
        adapter: the adapter that answers the harness's own calls; None for the base.
        answer_tokens: most tokens of a written answer, where a task does not say.
    """

    def __init__(
        self,
        lm: LanguageModel,
        stack: Stack | None = None,
        adapter: int | None = None,
        answer_tokens: int = 256,
    ) -> None:
        super().__init__()
        self.lm = lm
        self.stack = stack
        self.adapter = adapter
        self.tokenizer = lm.tokenizer
        self.answer_tokens = answer_tokens
        self._opening = lm.tokenizer.decode([self.prefix_token_id])
        self._adds_eos = self._encode("x")[-1:] == [lm.tokenizer.eos_token_id]
        self._known: tuple[str, Ids] = ("", [])

    @property
    def eot_token_id(self) -> int:
        """The id that ends a text."""
        end = self.lm.tokenizer.eos_token_id
        return self.lm.chat.pad_id if end is None else int(end)

    @property
    def prefix_token_id(self) -> int:
        """The id that stands before a text without context: BOS, or EOS where there is none."""
        first = self.lm.tokenizer.bos_token_id
        return self.eot_token_id if first is None else int(first)

    @property
    def max_length(self) -> int:
        """Most tokens that the model reads."""
        return self.lm.context

    @property
    def max_gen_toks(self) -> int:
        """Most tokens of an answer, where the task does not say."""
        return self.answer_tokens

    @property
    def tokenizer_name(self) -> str:
        """What the harness calls the tokenizer in its caches."""
        return self.lm.name.replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> Ids:
        """Token ids as the harness's own backend makes them; an EOS at the end is left out."""
        if add_special_tokens is None and string.startswith(self._opening):
            add_special_tokens = False  # a template has written the BOS already
        special = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        ids = self._encode(string, **special)
        return ids[:-1] if self._adds_eos and special.get("add_special_tokens", True) else ids

    def _encode(self, string: str, **special: bool) -> Ids:
        return list(self.lm.tokenizer.encode(string, **special))

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """A conversation as text, by the model's template."""
        return str(
            self.lm.tokenizer.apply_chat_template(
                chat_history,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        )

    def pair(self, context: str, continuation: str) -> Pair:
        """Token ids of a context and its continuation, split as the harness splits them.

        Both are tokenised together, after spaces at the end of the context were moved to the
        continuation; an empty context becomes BOS.
        """
        if not context:
            after = self.tok_encode(continuation, add_special_tokens=False)
            if after[:1] == [self.prefix_token_id]:
                return after[:1], after[1:]
            return [self.prefix_token_id], after
        kept = context.rstrip()
        if not kept:  # nothing but space, which belongs to the continuation
            return self.pair("", context + continuation)
        if self._known[0] != kept:  # choices of one item share their context
            self._known = (kept, self.tok_encode(kept))
        ids = self._known[1]
        whole = self.tok_encode(context + continuation)
        return ids, whole[len(ids) :]

    def length(self, context: str, continuation: str) -> int:
        """Tokens of a context and its continuation together."""
        before, after = self.pair(context, continuation)
        return len(before) + len(after)

    def fits(self, tokens: int) -> bool:
        """Whether a pair of so many tokens is read whole: its last token is not an input."""
        return tokens <= self.lm.context + 1

    # What the harness calls, for one adapter.

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[Likelihood]:
        """Log-probability of each request's continuation, and whether it is the greedy one."""
        pairs = [self.pair(*request.args) for request in requests]
        return self.likelihoods(pairs, [self.adapter])[0]

    def _loglikelihood_tokens(self, requests: list[Any], **kwargs: Any) -> list[Likelihood]:
        pairs = [(context, continuation) for _, context, continuation in requests]
        return self.likelihoods(pairs, [self.adapter])[0]

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-probability of whole texts, in windows of the model's context."""
        return self.rolling([request.args[0] for request in requests], [self.adapter])[0]

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Greedy texts up to a stop string."""
        return self.texts([request.args for request in requests], [self.adapter])[0]

    # The same for many adapters in one pass.

    def likelihoods(
        self,
        pairs: Sequence[Pair],
        adapters: Sequence[int | None],
        progress: Progress | None = None,
    ) -> list[list[Likelihood]]:
        """Log-likelihoods of every pair under every adapter.

        Args:
            pairs: token ids; those beyond the context lose ids on the left, as the harness's do.
            adapters: of the stack; None is the base.
            progress: called with pairs done and pairs in all.

        Returns:
            A list an adapter, of a log-probability and ``is_greedy`` a pair.

        Raises:
            NumericError: a value is NaN.
        """
        found: list[list[Likelihood]] = [[] for _ in adapters]
        for start in range(0, len(pairs), _CHUNK):
            chunk = pairs[start : start + _CHUNK]
            told = self._by_engine(chunk, adapters)
            for rows, adapter, scored in zip(found, adapters, told, strict=True):
                for (before, after), given in zip(chunk, scored, strict=True):
                    value, greedy = given or self._alone(before, after, adapter)
                    if not math.isfinite(value) and value != -math.inf:
                        raise NumericError(
                            "log-likelihoods are not finite; the adapter or the model holds NaN "
                            "or infinity"
                        )
                    rows.append((value, greedy))
            if progress is not None:
                progress(min(start + _CHUNK, len(pairs)), len(pairs))
        return found

    def _by_engine(
        self, pairs: Sequence[Pair], adapters: Sequence[int | None]
    ) -> list[list[Likelihood | None]]:
        """Every pair under every adapter in one pass; None where a pair does not fit."""
        fits = [bool(a) and len(a) + len(b) <= self.lm.context for a, b in pairs]
        asked = [pair for pair, fit in zip(pairs, fits, strict=True) if fit]
        carried: dict[str, Any] = {}
        if self.stack is not None:
            each = [adapter for adapter in adapters for _ in asked]
            carried = {"stack": self.stack, "adapters": each}
        told = iter(
            score_pairs(
                self.lm,
                [before for before, _ in asked] * len(adapters),
                [after for _, after in asked] * len(adapters),
                **carried,
            )
        )
        return [[next(told) if fit else None for fit in fits] for _ in adapters]

    @torch.inference_mode()
    def _alone(self, before: Ids, after: Ids, adapter: int | None) -> Likelihood:
        """One pair in a pass of its own, cut on the left to what the model can read."""
        after = after[-self.lm.context :]
        if not after:
            return 0.0, True
        ids = (before + after)[-(self.lm.context + 1) :]
        inputs: dict[str, Any] = {
            "input_ids": torch.tensor([ids[:-1]], device=self.lm.device),
            "use_cache": False,
        }
        if "logits_to_keep" in inspect.signature(self.lm.model.forward).parameters:
            inputs["logits_to_keep"] = len(after)
        if self.stack is None:
            logits = self.lm.model(**inputs).logits
        else:
            with self.stack.using(adapter):
                logits = self.lm.model(**inputs).logits
        values = torch.log_softmax(logits[0, -len(after) :].float(), -1)  # (n, V)
        want = torch.tensor(after, device=values.device)
        total = values.gather(-1, want[:, None]).double().sum()
        return float(total), bool((values.argmax(-1) == want).all())

    def rolling(self, texts: Sequence[str], adapters: Sequence[int | None]) -> list[list[float]]:
        """Log-probability of whole texts under every adapter, each token predicted once."""
        pairs: list[Pair] = []
        owners: list[int] = []
        for number, text in enumerate(texts):
            windows = get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.lm.context,
                context_len=1,
            )
            for window in map(make_disjoint_window, windows):
                pairs.append((list(window[0]), list(window[1])))
                owners.append(number)
        found = []
        for rows in self.likelihoods(pairs, adapters):
            sums = [0.0] * len(texts)
            for owner, (value, _) in zip(owners, rows, strict=True):
                sums[owner] += value
            found.append(sums)
        return found

    def texts(
        self,
        requests: Sequence[tuple[str, dict[str, Any]]],
        adapters: Sequence[int | None],
        progress: Progress | None = None,
    ) -> list[list[str]]:
        """What every adapter writes after each context, greedy, up to a stop string.

        Args:
            requests: a context and the harness's generation settings.
            adapters: of the stack; None is the base.
            progress: called with texts done and texts in all, of all adapters.

        Raises:
            InputError: a task that samples.
        """
        found = [[""] * len(requests) for _ in adapters]
        parsed = [self.written(kwargs) for _, kwargs in requests]
        for stops, most in dict.fromkeys((tuple(stops), most) for stops, most in parsed):
            places = [i for i, p in enumerate(parsed) if (tuple(p[0]), p[1]) == (stops, most)]
            room = self.lm.context - most
            prompts = [self.tok_encode(requests[i][0])[-room:] for i in places]
            asked = [(prompt, adapter) for adapter in adapters for prompt in prompts]
            rows = []
            for start in range(0, len(asked), _TEXTS):
                rows += self._continue(asked[start : start + _TEXTS], list(stops), most)
                if progress is not None:
                    progress(len(rows), len(asked))
            for number in range(len(adapters)):
                part = rows[number * len(places) : (number + 1) * len(places)]
                for i, text in zip(places, part, strict=True):
                    found[number][i] = text
        return found

    def written(self, kwargs: dict[str, Any]) -> tuple[list[str], int]:
        """Stop strings, and most tokens of an answer: at most half of the model's context."""
        given = normalize_gen_kwargs(kwargs, self.answer_tokens)
        if given.get("do_sample"):
            raise InputError("the task samples its answers; only greedy tasks can be measured")
        eos = self.lm.tokenizer.decode([self.eot_token_id], skip_special_tokens=False)
        stops = handle_stop_sequences(list(given["until"]), eos=eos)
        return [stop for stop in stops if stop], min(given["max_gen_toks"], self.lm.context // 2)

    def _continue(
        self,
        asked: list[tuple[Ids, int | None]],
        stops: list[str],
        most: int,
    ) -> list[str]:
        """Greedy texts, first short and then, of those that met no stop string, whole."""
        answers: list[Ids] = [[] for _ in asked]
        open_rows, length = list(range(len(asked))), 0
        for step in (min(_FIRST, most), most - min(_FIRST, most)):
            if not step or not open_rows:
                break
            length += step
            found = generate_ids(
                self.lm,
                [asked[i][0] + answers[i] for i in open_rows],
                max_new_tokens=step,
                until="turn",
                stack=self.stack,
                adapters=None if self.stack is None else [asked[i][1] for i in open_rows],
            )
            for i, [ids] in zip(open_rows, found, strict=True):
                answers[i] = answers[i] + ids
            open_rows = [
                i
                for i in open_rows
                if len(answers[i]) == length and not any(s in self._text(answers[i]) for s in stops)
            ]
        return [_until(self._text(ids), stops) for ids in answers]

    def _text(self, ids: Ids) -> str:
        return str(self.lm.tokenizer.decode(ids, skip_special_tokens=True))


def _until(text: str, stops: Sequence[str]) -> str:
    for stop in stops:
        text = text.split(stop)[0]
    return text
