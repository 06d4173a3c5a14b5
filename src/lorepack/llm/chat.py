"""Questions and answers as token ids, for any tokenizer.

``prompt_ids`` is exactly a prefix of ``example_ids``: what is trained is what is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from lorepack.errors import InputError
from lorepack.llm.template import PlainStyle, Style, TemplateStyle, Turn

__all__ = ["ANSWER", "QUESTION", "SYSTEM", "ChatFormat", "Ends", "LineEnds", "Turn"]

SYSTEM = "Answer the following question."
QUESTION = "Question: {q}"
ANSWER = "Answer: {a}"


class ChatFormat:
    """How one tokenizer's model is spoken to.

    Args:
        tokenizer: a transformers tokenizer. With a chat template this is used; without one the
            plain form is (see ``PlainStyle``).
        stop_ids: further ids that end an answer, such as those of a generation config.
    """

    def __init__(self, tokenizer: Any, stop_ids: Iterable[int] = ()) -> None:
        self.tokenizer = tokenizer
        self.has_template = bool(getattr(tokenizer, "chat_template", None))
        self._adds_eos = tokenizer.encode("x")[-1:] == [tokenizer.eos_token_id]
        self._style: Style = TemplateStyle(tokenizer) if self.has_template else PlainStyle()
        end = self._end_of_turn()
        named = [tokenizer.eos_token_id, end, *stop_ids]
        self.stop_ids: tuple[int, ...] = tuple(sorted({i for i in named if i is not None}))
        self.end_id: int | None = tokenizer.eos_token_id if end is None else end
        self.pad_id: int = next(
            (i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0
        )

    def prompt_ids(self, user: str, turns: Sequence[Turn] = (), system: str = SYSTEM) -> list[int]:
        """Token ids up to where the assistant speaks.

        Args:
            user: what is asked, usually ``QUESTION.format(q=…)``.
            turns: earlier exchanges, first to last.
            system: the system text; empty for none. Where a template has no system role, it
                opens the first user message.
        """
        return self._encode(self._style.prompt(user, turns, system))

    def example_ids(
        self, user: str, assistant: str, turns: Sequence[Turn] = (), system: str = SYSTEM
    ) -> tuple[list[int], int]:
        """Token ids of a whole exchange, the end of the assistant's turn included.

        Args:
            user: what is asked.
            assistant: what is answered, usually ``ANSWER.format(a=…)``.
            turns: earlier exchanges.
            system: the system text; empty for none.

        Returns:
            The ids ``(T,)`` and the index of the first id of the answer: ``ids[:start]`` equals
            ``prompt_ids(user, turns, system)``.
        """
        text = self._style.prompt(user, turns, system)
        prompt = self._encode(text)
        answer = self._continue(text, prompt, self._style.reply(assistant) + self._style.close)
        end = [] if self.end_id is None else [self.end_id]
        return prompt + answer + end, len(prompt)

    def text_ids(self, text: str) -> list[int]:
        """Token ids of running text, with the tokenizer's own BOS and without its EOS."""
        ids = list(self.tokenizer.encode(text))
        return ids[:-1] if self._adds_eos else ids

    def continuation_ids(self, text: str) -> list[int]:
        """Token ids of text that goes on where other text stopped: no BOS, no added space."""
        alone = list(self.tokenizer.encode(text, add_special_tokens=False))
        anchor = list(self.tokenizer.encode("\n", add_special_tokens=False))
        behind = list(self.tokenizer.encode("\n" + text, add_special_tokens=False))
        return behind[len(anchor) :] if anchor and behind[: len(anchor)] == anchor else alone

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids up to the end of its first line that is not blank."""
        return self.decode_turn(ids).partition("\n")[0].rstrip()

    def decode_turn(self, ids: Sequence[int]) -> str:
        """The whole text of generated ids, without the space around it."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).strip()

    @cached_property
    def line_ends(self) -> LineEnds:
        """Which tokens end an answer's line (see ``LineEnds``)."""
        return LineEnds(self.tokenizer, self.stop_ids)

    @cached_property
    def turn_ends(self) -> Ends:
        """Which tokens end an assistant's turn (see ``Ends``)."""
        return Ends(len(self.tokenizer), self.stop_ids)

    def _encode(self, text: str) -> list[int]:
        if self._style.special:
            return self.text_ids(text)
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def _continue(self, text: str, prompt: list[int], reply: str) -> list[int]:
        """Ids of ``reply`` behind ``prompt``; tokenized with it wherever the prompt's ids stay."""
        whole = self._encode(text + reply)
        if whole[: len(prompt)] == prompt:
            return whole[len(prompt) :]
        return self.continuation_ids(reply)

    def _end_of_turn(self) -> int | None:
        """The special token that the template writes after an answer."""
        tail = self._style.ending().strip()
        if not tail:
            return None
        added = self.tokenizer.get_added_vocab().values()
        special = {*self.tokenizer.all_special_ids, *added}
        ids = self.tokenizer.encode(tail, add_special_tokens=False)
        return next((i for i in ids if i in special), None)


class Ends:
    """For every token: does it end the answer? A stop id does, and nothing else.

    Args:
        size: tokens of the vocabulary.
        stop_ids: ids that end an answer wherever they come.
    """

    def __init__(self, size: int, stop_ids: Sequence[int]) -> None:
        self._stops = np.zeros(max([size, *(i + 1 for i in stop_ids)]), bool)  # (V,)
        self._stops[list(stop_ids)] = True

    def is_stop(self, tokens: np.ndarray) -> np.ndarray:
        """Which of ``tokens (n,)`` are stop ids."""
        return self._look_up(self._stops, tokens)

    def step(self, tokens: np.ndarray, begun: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which rows end with these tokens, and which have visible text now.

        Args:
            tokens: ``(n,)`` ids just drawn.
            begun: ``(n,)`` whether a row already has visible text; of no account here.
        """
        return self.is_stop(tokens), begun

    def _look_up(self, table: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """``table (V,)`` at ``tokens``; False beyond it, where padded vocabularies draw too."""
        return (tokens < len(table)) & table[np.minimum(tokens, len(table) - 1)]


class LineEnds(Ends):
    """For every token: does it end the answer, given whether words have come before?

    An answer ends at a stop id, or at a newline behind its first visible character. A token's
    text is looked at once, so that decoding asks tables and not the tokenizer.

    Args:
        tokenizer: a transformers tokenizer.
        stop_ids: ids that end an answer wherever they come.
    """

    def __init__(self, tokenizer: Any, stop_ids: Sequence[int]) -> None:
        super().__init__(len(tokenizer), stop_ids)
        size = len(self._stops)
        texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
        if len(texts) != len(tokenizer):
            raise InputError(f"{tokenizer.name_or_path}: the tokenizer cannot decode single ids")
        self._visible = np.zeros(size, bool)  # (V,) holds a character that is not space
        self._breaks = np.zeros(size, bool)  # (V,) holds a newline
        self._breaks_late = np.zeros(size, bool)  # (V,) holds a newline behind a visible character
        for i, text in enumerate(texts):
            self._visible[i] = bool(text.strip())
            self._breaks[i] = "\n" in text
            self._breaks_late[i] = "\n" in text.lstrip()

    def step(self, tokens: np.ndarray, begun: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which rows end with these tokens, and which have visible text now.

        Args:
            tokens: ``(n,)`` ids just drawn.
            begun: ``(n,)`` whether a row already has visible text.
        """
        late = self._look_up(self._breaks_late, tokens)
        newline = np.where(begun, self._look_up(self._breaks, tokens), late)
        beyond = tokens >= len(self._visible)  # counts as visible
        return self.is_stop(tokens) | newline, begun | beyond | self._look_up(self._visible, tokens)
