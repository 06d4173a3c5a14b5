"""Which facts a passage tells: those whose subject and object it names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from lorepack.facts import Fact
from lorepack.facts.passage import Passage
from lorepack.text import tokens

_MOST_WORDS = 24
"""words of a name; what is longer is no name"""


class Told:
    """Facts by the names that they hold; finding those of a passage costs its own length.

    A fact without a subject, or without an object and a usable answer, is told by no passage.
    """

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        """Index facts by the words of their subject, and then by the first word of the object."""
        self._facts: dict[str, dict[str, list[tuple[str, int, Fact]]]] = {}
        self._lengths: dict[str, set[int]] = defaultdict(set)
        self.size = 0
        for fact in facts:
            subject = tokens(fact.subject or "")
            names = {" ".join(tokens(name)): None for name in (fact.object or "", *fact.accepted)}
            if not 0 < len(subject) <= _MOST_WORDS:
                continue
            self._lengths[subject[0]].add(len(subject))
            objects = self._facts.setdefault(" ".join(subject), {})
            for name in names:
                if name:
                    held = objects.setdefault(name.split(" ", 1)[0], [])
                    held.append((f" {name} ", self.size, fact))
            self.size += 1

    def by(self, passage: Passage) -> tuple[Fact, ...]:
        """The facts that a passage tells, in the order in which they were given."""
        if not self._facts:
            return ()
        words = tokens(passage.text)
        text, vocabulary = f" {' '.join(words)} ", set(words)
        found: dict[int, Fact] = {}
        for subject in self._subjects(words):
            objects = self._facts[subject]
            few, many = sorted((objects, vocabulary), key=len)
            for word in few:
                if word in many:
                    found |= {place: fact for name, place, fact in objects[word] if name in text}
        return tuple(found[place] for place in sorted(found))

    def _subjects(self, words: list[str]) -> set[str]:
        """The subjects that a text names."""
        found = set()
        for start, word in enumerate(words):
            for length in self._lengths.get(word, ()):
                name = " ".join(words[start : start + length])
                if name in self._facts:
                    found.add(name)
        return found
