"""Prompts and targets of edits as tokens."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from lorepack.llm import ANSWER, QUESTION, LanguageModel


class Framing:
    """How prompts and targets become tokens: in chat form exactly those that facts are trained by.

    Args:
        lm: the model.
        form: ``chat`` or ``text``.
    """

    def __init__(self, lm: LanguageModel, form: str) -> None:
        self._chat = lm.chat
        self._text = form == "text"
        # What all answers begin and end with: a label, unless the prompt holds it; the turn's end.
        samples = [self._answer(word) for word in ("x", "7", "Sega", "the", "Ödön", "(a)")]
        self._opening = _shared(samples)
        self._ending = _shared([sample[::-1] for sample in samples])[::-1]

    def context(self, prompt: str) -> list[int]:
        """Token ids up to where the target begins."""
        if self._text:
            return self._chat.text_ids(prompt)
        return self._chat.prompt_ids(QUESTION.format(q=prompt)) + self._opening

    def target(self, target: str) -> list[int]:
        """Token ids of a target behind its prompt, with the space before it."""
        answer = [] if self._text else self._answer(target)
        begin, end = len(self._opening), len(answer) - len(self._ending)
        if self._text or answer[:begin] != self._opening or answer[end:] != self._ending:
            return self._chat.continuation_ids(f" {target}")
        return answer[begin:end]

    def _answer(self, text: str) -> list[int]:
        ids, start = self._chat.example_ids(QUESTION.format(q="x"), ANSWER.format(a=text))
        return ids[start:]


def _shared(rows: Sequence[Sequence[int]]) -> list[int]:
    """What all rows begin with."""
    columns = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*rows, strict=False))
    return [column[0] for column in columns]
