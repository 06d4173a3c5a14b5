"""Whether a text holds one of many phrases, in time that hardly depends on how many there are.

What `lorepack.text.Matcher` says of one fact's accepted answers, said of all trained answers at
once. Phrases are found by how they begin: in tokens by their first token, in characters by their
first three; of what begins so only the lengths that occur are looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from lorepack.text import answer_of, normalise, tokens

_HEAD = {"boundary": 1, "contains": 3, "substring": 3, "exact": 0}
_FORMS: dict[str, Callable[[str], Any]] = {
    "boundary": lambda text: tuple(tokens(text)),
    "contains": normalise,
    "substring": str.lower,
    "exact": normalise,
}


class Phrases:
    """Many accepted answers under one matching rule."""

    def __init__(self, phrases: Iterable[str], rule: str) -> None:
        """Index the phrases; those that normalise to nothing are left out, under any rule.

        Args:
            phrases: answers and aliases.
            rule: of `lorepack.text.RULES`.
        """
        self._form, self._rule = _FORMS[rule], rule
        self._whole = {form for phrase in phrases if (form := self._form(phrase))}
        self._lengths: dict[Any, list[int]] = {}
        for phrase in self._whole:
            lengths = self._lengths.setdefault(phrase[: _HEAD[rule]], [])
            if len(phrase) not in lengths:
                lengths.append(len(phrase))
        self._heads = sorted({len(head) for head in self._lengths})
        # Answers repeat; a bound keeps millions of different ones from staying in memory.
        self.within = lru_cache(maxsize=1 << 16)(self._within)

    def __len__(self) -> int:
        return len(self._whole)

    def _within(self, response: str) -> bool:
        """Whether the response, its first line without the label, holds one of the phrases.

        Under ``substring`` the whole response counts, under ``exact`` it must be the phrase.
        """
        if not self._whole:
            return False
        units = self._form(response if self._rule == "substring" else answer_of(response))
        if self._rule == "exact":
            return units in self._whole
        return any(
            units[start : start + length] in self._whole
            for start in range(len(units))
            for head in self._heads
            for length in self._lengths.get(units[start : start + head], ())
        )
