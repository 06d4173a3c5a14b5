"""A writer that is a model on this machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from lorepack import files
from lorepack.llm import LanguageModel, Turn, generate_ids
from lorepack.synthesis.writers.writer import Keep, Reply, Request

_LEAST = 16  # tokens; a reply that may not have as many is not begun


class LocalWriter:
    """A loaded model.

    The draws of a reply depend on its request alone, so that it is the same in any batch (to the
    rounding of the model's own arithmetic). A request's schema does not bind the model's hand: its
    prompt has to ask for it.

    Args:
        lm: what `lorepack.llm.load` gave.
    """

    def __init__(self, lm: LanguageModel) -> None:
        self.lm = lm
        spoken = lm.chat.prompt_ids("b", (Turn("u", "a"),), "s")  # equal weights, other templates
        dtype = str(lm.dtype).removeprefix("torch.")
        self.identity = f"local {lm.fingerprint} {dtype} {files.hash_of(spoken)[:16]}"
        self.context: int | None = lm.context

    def write(self, requests: Sequence[Request], keep: Keep) -> None:
        """Answer all requests, those with equal settings together and the longest first.

        A reply may have the tokens that its request grants; where the context leaves fewer, half
        of them, or a quarter, and so on. One that does not fit is kept as failed.

        Raises:
            NumericError: the model's logits are NaN.
            InputError: a prompt that the device's memory does not hold.
        """
        prompts = [
            self.lm.chat.prompt_ids(request.user, system=request.system) for request in requests
        ]
        alike: dict[tuple[float, int], list[int]] = defaultdict(list)
        for i, (request, prompt) in enumerate(zip(requests, prompts, strict=True)):
            limit = self._limit(len(prompt), request.max_tokens)
            if limit:
                alike[request.temperature, limit].append(i)
            else:
                keep(i, Reply(failed=self._too_long(len(prompt), request.max_tokens)))
        for (temperature, limit), members in alike.items():
            self._write(requests, prompts, members, temperature, limit, keep)

    def _write(
        self,
        requests: Sequence[Request],
        prompts: list[list[int]],
        members: list[int],
        temperature: float,
        limit: int,
        keep: Keep,
    ) -> None:
        """Answer the ``members``, whose temperature and limit are equal."""

        def answered(place: int, answers: list[list[int]]) -> None:
            i, ids = members[place], answers[0]
            text, whole = self.lm.chat.decode_turn(ids), len(ids) < limit
            keep(i, Reply(text, None, len(prompts[i]), len(ids), finished=whole))

        generate_ids(
            self.lm,
            [prompts[i] for i in members],
            max_new_tokens=limit,
            temperature=temperature,
            keys=[requests[i].key("") for i in members],
            until="turn",
            answered=answered,
        )

    def _limit(self, prompt: int, granted: int) -> int:
        """Most tokens of a reply; 0 where the context leaves too little for any."""
        limit = granted
        while limit > max(0, self.lm.context - prompt):
            limit //= 2
        return limit if limit >= min(_LEAST, granted) else 0

    def _too_long(self, prompt: int, granted: int) -> str:
        return (
            f"a prompt of {prompt} tokens leaves no room for a reply of {granted} in the context "
            f"of {self.lm.context} tokens of {self.lm.name}"
        )
