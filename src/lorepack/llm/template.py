"""The text around a question: a tokenizer's own chat template, or plain lines for base models.

A style turns ``(system, turns, user)`` into the text up to where the assistant speaks. Templates
are rendered once for every ``(turns, system)``; the user's string is then put into the frame,
since a probe asks thousands of questions behind the same few turns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lorepack.errors import InputError

_SLOT = "Qx81SlotxQ"  # in both cases, so that a template that changes words is noticed
_MARKUP = frozenset("<>[]{}|")  # strings with markup are rendered whole: templates may look at them
_DATE = "26 Jul 2024"  # the default of the templates that print a date: equal work, equal bytes
_CLOCK = f"{{%- macro strftime_now(format) -%}}{_DATE}{{%- endmacro -%}}"
_FRAMES = 256


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier exchange: what the user asked and what the assistant said."""

    user: str
    assistant: str


class Style(Protocol):
    """How a conversation becomes text."""

    special: bool
    """Whether the tokenizer must add its own BOS to the text."""
    close: str
    """What a trained answer ends with, before the id that ends a turn."""

    def prompt(self, user: str, turns: Sequence[Turn], system: str) -> str:
        """The text up to where the assistant speaks."""

    def reply(self, assistant: str) -> str:
        """What follows the prompt when the assistant says ``assistant``, without the end."""

    def ending(self) -> str:
        """The text that ends an assistant's turn; empty when there is none."""


class TemplateStyle:
    """The chat template that comes with a tokenizer.

    Args:
        tokenizer: a transformers tokenizer with a ``chat_template``.

    Raises:
        InputError: the template is no text, cannot render one question, or leaves it out.
    """

    special = False  # the template writes BOS itself; the tokenizer must not add another
    close = ""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        template = self._own_template()
        self._template = _CLOCK + template if "strftime_now" in template else template
        self._frames: OrderedDict[tuple[Any, ...], tuple[str, str, bool] | None] = OrderedDict()
        self._check_question()
        self._system_role = self._takes_system()
        self._lead, self._ending = self._reply_parts()

    def prompt(self, user: str, turns: Sequence[Turn], system: str) -> str:
        """The text up to where the assistant speaks."""
        frame = None if _MARKUP & set(user) else self._frame(tuple(turns), system)
        if frame is None or not user.strip():
            return self._render(self._messages(user, turns, system))
        before, after, trims = frame
        return before + (user.strip() if trims else user) + after

    def reply(self, assistant: str) -> str:
        """What follows the prompt when the assistant says ``assistant``, without the end."""
        return self._lead + assistant

    def ending(self) -> str:
        """The text that ends an assistant's turn; empty when there is none."""
        return self._ending

    def _frame(self, turns: tuple[Turn, ...], system: str) -> tuple[str, str, bool] | None:
        """Text before and after the user's string, and whether the template trims it."""
        key = (turns, system)
        if key not in self._frames:
            self._frames[key] = self._split(turns, system)
            if len(self._frames) > _FRAMES:
                self._frames.popitem(last=False)
        self._frames.move_to_end(key)
        return self._frames[key]

    def _split(self, turns: tuple[Turn, ...], system: str) -> tuple[str, str, bool] | None:
        text = self._render(self._messages(_SLOT, turns, system))
        spaced = self._render(self._messages(f" {_SLOT}\n", turns, system))
        before, found, after = text.partition(_SLOT)
        trims = spaced == text
        kept = spaced == f"{before} {_SLOT}\n{after}"
        if not found or _SLOT in after or not (trims or kept):
            return None
        return before, after, trims

    def _messages(self, user: str, turns: Sequence[Turn], system: str) -> list[dict[str, str]]:
        messages = []
        for turn in turns:
            messages.append({"role": "user", "content": turn.user})
            messages.append({"role": "assistant", "content": turn.assistant})
        messages.append({"role": "user", "content": user})
        if system and self._system_role:
            messages.insert(0, {"role": "system", "content": system})
        elif system:
            messages[0]["content"] = f"{system}\n\n{messages[0]['content']}"
        return messages

    def _render(self, messages: list[dict[str, str]], answered: bool = False) -> str:
        try:
            text = self._tokenizer.apply_chat_template(
                messages,
                chat_template=self._template,
                tokenize=False,
                add_generation_prompt=not answered,
                date_string=_DATE,
                enable_thinking=False,
            )
        except Exception as error:  # templates raise what they like
            what = "one question" if len(messages) == 1 else f"{len(messages)} messages"
            raise self._broken(f"cannot render {what} ({error})") from error
        return str(text)

    def _broken(self, what: str) -> InputError:
        return InputError(
            f"{self._tokenizer.name_or_path}: the chat template {what}; mend chat_template in the "
            "tokenizer's files"
        )

    def _own_template(self) -> str:
        try:
            template = self._tokenizer.get_chat_template()
        except ValueError as error:  # several templates, and none of them the default
            raise self._broken(f"cannot be chosen ({error})") from error
        if not isinstance(template, str):
            raise self._broken(f"is no text (got {type(template).__name__})")
        return template

    def _check_question(self) -> None:
        """A template that shows no question would ask the same of every fact."""
        shown = self._render([{"role": "user", "content": _SLOT}])
        if _SLOT.casefold() not in shown.casefold():
            raise self._broken(f"leaves the user's question out (it gives {shown[:60]!r})")

    def _takes_system(self) -> bool:
        """Whether a system message is accepted and shown; some templates raise or drop it."""
        question = {"role": "user", "content": "x"}
        try:
            return _SLOT in self._render([{"role": "system", "content": _SLOT}, question])
        except InputError:
            return False

    def _reply_parts(self) -> tuple[str, str]:
        """Text between the prompt and the assistant's words, and text that follows them."""
        asked = [{"role": "user", "content": "x"}]
        prompt = self._render(asked)
        whole = self._render([*asked, {"role": "assistant", "content": _SLOT}], answered=True)
        before, _, after = whole.partition(_SLOT)
        lead = before[len(prompt) :] if before.startswith(prompt) else ""
        return lead, after


class PlainStyle:
    """Lines for models without a template: ``Question: …`` / ``Answer: …``, one blank between."""

    special = True
    close = "\n"  # as between the lines of a prompt; some base models never learn to say EOS

    def prompt(self, user: str, turns: Sequence[Turn], system: str) -> str:
        """The text up to where the answer stands, after ``Answer:``."""
        shown = [f"{self._asked(turn.user)}{self.reply(turn.assistant)}" for turn in turns]
        return "\n\n".join([*([system] if system else []), *shown, self._asked(user)])

    def reply(self, assistant: str) -> str:
        """The answer after ``Answer:``, with one space before it."""
        return f" {assistant.strip().removeprefix('Answer:').strip()}"

    def ending(self) -> str:
        """Plain text has no end of turn; the tokenizer's EOS is used."""
        return ""

    def _asked(self, user: str) -> str:
        lines = user.strip().splitlines()
        labelled = any(line.startswith("Question:") for line in lines)
        return f"{'' if labelled else 'Question: '}{user.strip()}\nAnswer:"
