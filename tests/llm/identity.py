"""Are answers those of plain greedy decoding, row by row?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .conftest import NEWLINE

TIE = 1e-5
MOST_TIES = 0.001


@dataclass(frozen=True)
class Identity:
    """How answers compare with the reference.

    ``ties`` differ where the reference's own top two logits lie within ``TIE``; ``wrong`` differ
    anywhere else.
    """

    rows: int
    ties: int
    wrong: list[int]

    @property
    def holds(self) -> bool:
        """No row is wrong, and ties are few."""
        return not self.wrong and self.ties <= MOST_TIES * self.rows


def compare(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[list[int]],
    answers: Sequence[list[int]],
    tokens: int,
    until: str = "line",
) -> Identity:
    """Against unpadded ``transformers.generate`` of ``model``, one prompt at a time; EOS is 2."""
    ties, wrong = 0, []
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        whole = model.generate(
            input_ids=torch.tensor([prompt]),
            max_new_tokens=tokens,
            do_sample=False,
            eos_token_id=[2],
            output_logits=True,
            return_dict_in_generate=True,
        )
        expected = _cut(whole.sequences[0, len(prompt) :].tolist(), tokenizer, until)
        if answer == expected:
            continue
        pairs = zip([*answer, None], [*expected, None], strict=False)
        first = next(i for i, (a, b) in enumerate(pairs) if a != b)
        top = whole.logits[min(first, len(whole.logits) - 1)][0].float().topk(2).values
        if float(top[0] - top[1]) <= TIE:
            ties += 1
        else:
            wrong.append(row)
    return Identity(len(prompts), ties, wrong)


def _cut(tokens: list[int], tokenizer: Any, until: str) -> list[int]:
    """The answer up to the stop id or the end of its line."""
    answer: list[int] = []
    for token in tokens:
        if token == 2:
            break
        answer.append(token)
        if until == "line" and token == NEWLINE and tokenizer.decode(answer).strip():
            break
    return answer
