"""Which sentences of a passage its items tell, and which nobody asked about yet."""

from __future__ import annotations

import re
from collections import defaultdict

from lorepack.facts.documents.sentences import sentences
from lorepack.synthesis.item import Item
from lorepack.synthesis.words import Told, told

_NAMED = 2.0
"""weight of a name or a number; it is what a sentence tells more often than not"""
_RARE = 1.5
"""weight of a word that stands in one sentence of the passage alone"""
_SUBJECT = 0.5
"""weight of what most sentences name: it does not tell one from another"""
_WINDOW = 2
"""sentences of a running text that are taken together: a whole text holds words of everything"""
_SHORT = 60
"""words up to which a content is taken as a whole"""
_CITED = re.compile(r"\((?=[^()]*(?:\bet al\b|&|;))[^()]*\b(?:19|20)\d\d[a-z]?\b[^()]*\)")
"""works cited in brackets: nobody is to ask about them, and they can be half a sentence"""
LEAST = 0.4
"""share of a sentence's words, weighted, that an item must hold"""


class Coverage:
    """The sentences of one passage, and which of them the items so far tell.

    A sentence is covered when one item holds ``least`` of its content words, names, numbers and
    rare words weighing more. Of running text, two neighbouring sentences count as one item.
    """

    def __init__(self, text: str, least: float = LEAST) -> None:
        """Cut a passage into sentences.

        Args:
            text: of the passage.
            least: share of a sentence's weight that must be held, above 0 and up to 1.
        """
        self._sentences = [text[start:end] for start, end in sentences(text)]
        tellings = [told(_CITED.sub(" ", sentence)) for sentence in self._sentences]
        self._holders: dict[str, list[int]] = defaultdict(list)
        for number, telling in enumerate(tellings):
            for root in telling.content:
                self._holders[root].append(number)
        self._weights = [self._weigh(telling) for telling in tellings]
        self._needed = [least * sum(weights.values()) for weights in self._weights]
        self._words = [len(telling.tokens) for telling in tellings]
        # A sentence without content words asks for nothing.
        self._covered = [not weights for weights in self._weights]
        self._counted = [bool(weights) for weights in self._weights]

    def add(self, item: Item) -> None:
        """Count what an item tells: question and answer, or text."""
        for part in _parts(item):
            held: dict[int, float] = defaultdict(float)
            for root in told(part).content:
                for number in self._holders.get(root, ()):
                    held[number] += self._weights[number][root]
            for number, weight in held.items():
                if weight >= self._needed[number] - 1e-9:
                    self._covered[number] = True

    @property
    def share(self) -> float:
        """Share of the passage's words that stand in covered sentences; 1.0 without any."""
        words = list(zip(self._words, self._counted, self._covered, strict=True))
        total = sum(count for count, counted, _ in words if counted)
        return sum(n for n, counted, c in words if counted and c) / total if total else 1.0

    def uncovered(self) -> list[str]:
        """The sentences that no item tells, in the order of the passage."""
        pairs = zip(self._sentences, self._covered, strict=True)
        return [sentence for sentence, covered in pairs if not covered]

    def _weigh(self, telling: Told) -> dict[str, float]:
        def weight(root: str, word: str) -> float:
            if len(self._holders[root]) > max(2, len(self._sentences) / 2):
                return _SUBJECT
            if word in telling.names or word in telling.numbers:
                return _NAMED
            return _RARE if len(self._holders[root]) == 1 else 1.0

        return {root: weight(root, word) for root, word in telling.content.items()}


def _parts(item: Item) -> list[str]:
    """What counts as one telling: all of a short item, windows of a long one."""
    content = item.content
    if len(content.split()) <= _SHORT:
        return [content]
    asked = item.question or item.task or ""
    said = item.answer or item.text or ""
    pieces = [said[start:end] for start, end in sentences(said)]
    # The question goes with the beginning of its answer; further on it is no longer the subject.
    windows = [" ".join(pieces[i : i + _WINDOW]) for i in range(max(1, len(pieces) - _WINDOW + 1))]
    return [f"{asked}\n{windows[0]}", *windows[1:]]
