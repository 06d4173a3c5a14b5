"""What a form is: a conversation with a writer about passages, whose outcome is items."""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lorepack.facts import Fact
from lorepack.facts.passage import Passage
from lorepack.synthesis.item import Item


@dataclass(frozen=True)
class Ask:
    """A request before it is worded.

    Attributes:
        prompt: name of a prompt file, which also names the shape of the reply.
        passage: what it is about.
        n: how many items.
        values: what the prompt's placeholders stand for, besides ``n`` and the passage's
            ``text`` and ``title``.
    """

    prompt: str
    passage: Passage
    n: int = 1
    values: Mapping[str, Any] = field(default_factory=dict)


Talk = Generator[list[Ask], list[Any], None]
"""Yields what it asks; is sent, for each, the checked reply (an object of the prompt's reply
shape), or None where none could be had, which has been counted by then."""


class Job(Protocol):
    """One form at work on one stretch of a document; what the runner hands to a form."""

    @property
    def passages(self) -> Sequence[Passage]: ...

    @property
    def n(self) -> int:
        """Items asked for: a passage, or a stretch where the form says so."""
        ...

    @property
    def rounds(self) -> int:
        """Most times that a passage is asked again for what is missing or not covered."""
        ...

    @property
    def rng(self) -> random.Random:
        """Chance of its own, the same in every run."""
        ...

    def facts(self, passage: Passage) -> Sequence[Fact]:
        """Facts that a passage tells, where they are known."""
        ...

    def kept(self, passage: Passage) -> Sequence[Item]:
        """Items of this form that were admitted so far."""
        ...

    def uncovered(self, passage: Passage) -> Sequence[str]:
        """Sentences of a passage that no admitted item of this form touches."""
        ...

    def admit(self, passage: Passage, drafts: Sequence[Item]) -> int:
        """Put drafts through the gates; how many were admitted. No more than ``n`` ever are."""
        ...

    def reject(self, draft: Item, reason: str, detail: str = "") -> None:
        """Count a draft out that the form has no use for; nothing that was written is lost."""
        ...


@dataclass(frozen=True)
class Form:
    """One form of training data.

    Attributes:
        name: what ``--form`` calls it.
        about: one line for the help.
        default: items when no number is said.
        per: ``passage`` or ``document``: what the number counts for.
        yields: ``questions``, ``texts`` or ``targets``.
        write: its conversation.
        evaluation: whether its items are for evaluation only.
        source: where the form comes from.
    """

    name: str
    about: str
    default: int
    yields: str
    write: Any  # Callable[[Job], Talk]
    per: str = "passage"
    evaluation: bool = False
    source: str = ""
