"""Stretches: consecutive passages of one document, which forms work on together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import islice

from lorepack.errors import InputError
from lorepack.facts.passage import Passage

LONGEST = 64
"""passages; a longer document is several stretches"""

Stretch = tuple[Passage, ...]


class Reading:
    """Passages on their way: cut into stretches, counted, and hashed."""

    def __init__(self, passages: Iterable[Passage], limit: int | None = None) -> None:
        self._passages = passages
        self._limit = limit
        self._hash = hashlib.sha256()
        self._seen: set[int] = set()
        self.count = 0

    @property
    def digest(self) -> str:
        """The SHA-256 of the passages that were read."""
        return self._hash.hexdigest()

    def to_the_end(self) -> str:
        """Read what is left; the digest of all."""
        for _ in self.all():
            pass
        return self.digest

    def stretches(self) -> Iterator[Stretch]:
        """Consecutive passages of one document; one without a document stands alone.

        Raises:
            InputError: two passages have one id.
        """
        held: list[Passage] = []
        for passage in self.all():
            alone = passage.document is None
            if held and (alone or passage.document != held[0].document or len(held) == LONGEST):
                yield tuple(held)
                held = []
            held.append(passage)
        if held:
            yield tuple(held)

    def all(self) -> Iterator[Passage]:
        """The passages, one by one.

        Raises:
            InputError: two of them have one id.
        """
        for passage in islice(self._passages, self._limit):
            mark = hash(passage.id)  # 64 bits: what a million ids cost in memory
            if mark in self._seen:
                raise InputError(
                    f"passage {self.count + 1}: an earlier one has the same id {passage.id!r}; "
                    "ids must differ, or be left out to be derived"
                )
            self._seen.add(mark)
            self._hash.update(json.dumps(passage.to_json(), sort_keys=True).encode() + b"\n")
            self.count += 1
            yield passage
