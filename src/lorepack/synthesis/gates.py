"""The gates that an item passes before it is kept, each with a reason for those it turns away.

Every judgement is by rules and depends on nothing but its arguments: the item, its passage, what
was admitted before, and the settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from lorepack.facts.passage import Passage
from lorepack.synthesis import coverage
from lorepack.synthesis.alike import Texts
from lorepack.synthesis.asking import asks, gives_away, points_at_source
from lorepack.synthesis.grounding import grounding, is_span
from lorepack.synthesis.item import Item
from lorepack.synthesis.leaks import Leaks
from lorepack.synthesis.words import same_content, same_names
from lorepack.text import is_refusal, normalise

REASONS = (
    "empty",
    "too_long",
    "not_a_question",
    "not_self_contained",
    "refusal",
    "answer_in_question",
    "ungrounded",
    "duplicate",
    "leak",
)
"""why items are rejected, in the order in which the gates stand"""
_EVIDENCE_WORDS = 3
_LONG = 400
"""characters from which two texts are compared by their names alone"""


class GateSettings(BaseModel):
    """How strict the gates are; shares are from 0 to 1, and 0 opens a gate of shares."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question_words: int = Field(default=150, ge=1)
    """most words of a question"""
    answer_words: int = Field(default=1000, ge=1)
    """most words of an answer"""
    text_words: int = Field(default=10_000, ge=1)
    """most words of a running text"""
    self_contained: bool = True
    """whether questions may not point at a passage, paper or author that they do not name;
    False is fair where each question is to get the tag of its document"""
    grounded: float = Field(default=0.6, ge=0, le=1)
    """least share of an answer's content words that stand in passage or question"""
    grounded_inference: float = Field(default=0.4, ge=0, le=1)
    """the same for exam questions of the level ``inference``"""
    grounded_text: float = Field(default=0.5, ge=0, le=1)
    """the same for running text and its passage"""
    grounded_names: float = Field(default=0.8, ge=0, le=1)
    """least share of a running text's names and numbers; those of an answer must all be found"""
    duplicate: float = Field(default=0.85, gt=0, le=1)
    """ROUGE-L from which two questions of one form are the same"""
    duplicate_text: float = Field(default=0.9, gt=0, le=1)
    """ROUGE-L from which two texts of one form are the same"""
    leak: float = Field(default=0.7, gt=0, le=1)
    """ROUGE-L from which a question is one of the evaluation"""
    leak_names: bool = True
    """whether a question of other names or numbers than the evaluation's is another question"""
    coverage: float = Field(default=coverage.LEAST, gt=0, le=1)
    """share of a sentence's words, weighted, that an item must hold to cover it"""


@dataclass(frozen=True)
class Rejection:
    """Why an item is turned away.

    Attributes:
        reason: one of `REASONS`.
        detail: what was found, for a reader.
    """

    reason: str
    detail: str


class Earlier:
    """Items of one form that were admitted before, and how to find those like another."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._index = Texts()
        self._forms: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item) -> None:
        """Remember an admitted item."""
        words = _compared(item)
        self._forms.setdefault(normalise(words), len(self._items))
        self._index.add(words)
        self._items.append(item)

    def equal(self, item: Item) -> Item | None:
        """The first item with the same words, normal forms compared."""
        place = self._forms.get(normalise(_compared(item)))
        return None if place is None else self._items[place]

    def alike(self, item: Item, at_least: float) -> list[tuple[float, Item]]:
        """Items by ROUGE-L, the most similar first."""
        found = self._index.alike(_compared(item), at_least)
        return [(score, self._items[place]) for score, place in found]


class Gates:
    """The gates, in their order."""

    def __init__(self, settings: GateSettings | None = None, leaks: Leaks | None = None) -> None:
        """Set up the gates.

        Args:
            settings: how strict they are.
            leaks: questions of the evaluation; without them nothing is a leak.
        """
        self.settings = settings or GateSettings()
        self.leaks = leaks
        self._gates: tuple[Callable[[Item, Passage | None, Earlier], Rejection | None], ...] = (
            self._size,
            self._question,
            self._grounded,
            self._duplicate,
            self._leak,
        )

    def judge(self, item: Item, passage: Passage | None, earlier: Earlier) -> str | None:
        """The reason why an item is rejected, one of `REASONS`; None when it is good."""
        rejection = self.rejection(item, passage, earlier)
        return rejection.reason if rejection else None

    def rejection(self, item: Item, passage: Passage | None, earlier: Earlier) -> Rejection | None:
        """The first gate that turns an item away, with what it found.

        Args:
            item: of any form; an ``original`` is turned away only when it is empty.
            passage: what it was written from; without one it is not asked to be grounded.
            earlier: admitted items of the same form.

        Returns:
            The rejection; None when all gates are open.
        """
        if item.form == "original":
            return None if normalise(item.content) else Rejection("empty", "no words")
        found = (gate(item, passage, earlier) for gate in self._gates)
        return next((rejection for rejection in found if rejection), None)

    def _size(self, item: Item, passage: Passage | None, earlier: Earlier) -> Rejection | None:
        limits = {
            "question": self.settings.question_words,
            "answer": self.settings.answer_words,
            "text": self.settings.text_words,
        }
        needed = ("question", "answer") if item.question or item.answer else ("text",)
        for name in needed:
            value = getattr(item, name) or ""
            if not normalise(value):
                return Rejection("empty", f"the {name} has no words")
            if (count := len(value.split())) > limits[name]:
                return Rejection("too_long", f"the {name} has {count} words")
        return None

    def _question(self, item: Item, passage: Passage | None, earlier: Earlier) -> Rejection | None:
        if item.question and item.answer:
            return self._form_of(item.question, item.answer, passage)
        return self._refused(item.text or "", passage)

    def _form_of(self, question: str, answer: str, passage: Passage | None) -> Rejection | None:
        if not asks(question):
            return Rejection("not_a_question", "it neither asks nor demands")
        title = passage.title if passage else None
        if self.settings.self_contained and (found := points_at_source(question, title)):
            return Rejection("not_self_contained", f"it points at {found!r} without naming it")
        if refused := self._refused(answer, passage):
            return refused
        if gives_away(question, answer):
            return Rejection("answer_in_question", "the question holds its answer")
        return None

    def _refused(self, said: str, passage: Passage | None) -> Rejection | None:
        if is_refusal(said) and not (passage and is_span(said, passage.text)):
            return Rejection("refusal", "it declines to answer")
        return None

    def _grounded(self, item: Item, passage: Passage | None, earlier: Earlier) -> Rejection | None:
        if passage is None:
            return None
        if item.question and item.answer:
            return self._grounded_answer(item, item.question, item.answer, passage)
        found = grounding(item.text or "", _told(passage))
        if found.named < self.settings.grounded_names:
            return Rejection("ungrounded", f"not in the passage: {_shown(found.missing)}")
        return _too_few(found.words, self.settings.grounded_text)

    def _grounded_answer(
        self, item: Item, question: str, answer: str, passage: Passage
    ) -> Rejection | None:
        if is_span(answer, passage.text):
            return None
        found = grounding(answer, _told(passage), question)
        if found.missing:
            return Rejection("ungrounded", f"not in the passage: {_shown(found.missing)}")
        if item.evidence and is_span(item.evidence, passage.text, _EVIDENCE_WORDS):
            return None
        inferred = item.level == "inference"
        least = self.settings.grounded_inference if inferred else self.settings.grounded
        return _too_few(found.words, least)

    def _duplicate(self, item: Item, passage: Passage | None, earlier: Earlier) -> Rejection | None:
        if same := earlier.equal(item):
            return Rejection("duplicate", f"equal to {same.id}")
        least = self.settings.duplicate if item.question else self.settings.duplicate_text
        for score, other in earlier.alike(item, least):
            if _same(item, other):
                return Rejection("duplicate", f"ROUGE-L {score:.2f} with {other.id}")
        return None

    def _leak(self, item: Item, passage: Passage | None, earlier: Earlier) -> Rejection | None:
        asked = item.question or item.task
        if self.leaks is None or not asked or item.level or item.form == "exam":
            return None
        if not self.settings.leak_names:
            best, question = self.leaks.best(asked, self.settings.leak)
            return _leaked(best, question) if question else None
        for score, question in self.leaks.alike(asked, self.settings.leak):
            if same_names(asked, question):
                return _leaked(score, question)
        return None


def _compared(item: Item) -> str:
    """The words by which an item is a duplicate of another."""
    return item.question or item.text or item.content


def _told(passage: Passage) -> str:
    """What a passage holds, its title included."""
    return f"{passage.title}\n{passage.text}" if passage.title else passage.text


def _same(item: Item, other: Item) -> bool:
    """Whether two items that are alike say the same: one exchanged word can make another item."""
    one, two = _compared(item), _compared(other)
    if max(len(one), len(two)) > _LONG:
        return same_names(one, two)  # of a thousand words some are always exchanged
    if not same_content(one, two):
        return False
    if not (item.answer and other.answer):
        return True
    answers = (grounding(item.answer, other.answer), grounding(other.answer, item.answer))
    return max(share.words for share in answers) >= 0.5


def _leaked(score: float, question: str) -> Rejection:
    return Rejection("leak", f"ROUGE-L {score:.2f} with {question[:200]!r}")


def _too_few(share: float, least: float) -> Rejection | None:
    if share >= least:
        return None
    return Rejection("ungrounded", f"{share:.0%} of its content words are in the passage")


def _shown(missing: tuple[str, ...]) -> str:
    return ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
