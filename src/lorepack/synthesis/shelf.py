"""Items that others wrote, waiting for the passages that they were written from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator

from lorepack.errors import InputError
from lorepack.synthesis.forms import FORMS
from lorepack.synthesis.forms.form import Form
from lorepack.synthesis.given import Given
from lorepack.synthesis.item import Item

_NO_PASSAGE = "no_such_passage"


class Shelf:
    """Given items by passage and form; each is taken once.

    Attributes:
        digest: the SHA-256 of all of them.
        forms: the names of their forms, sorted.
    """

    def __init__(self, given: Iterable[Given]) -> None:
        """Put all of them on the shelf.

        Raises:
            InputError: there is none.
        """
        self._items: dict[tuple[str, str], list[Item]] = {}
        self._lost: list[tuple[Item, str]] = []
        digest, names, ids = hashlib.sha256(), set(), set()
        for one in given:
            item = one.item
            digest.update(json.dumps([item.to_json(), one.problem], sort_keys=True).encode())
            if item.id in ids:  # of their own; results are told apart by theirs
                item = dataclasses.replace(item, id="")
            ids.add(item.id)
            names.add(item.form)
            if one.problem is None:
                self._items.setdefault((item.passage, item.form), []).append(item)
            else:
                self._lost.append((item, one.problem))
        if not names:
            raise InputError("no items are given; expected at least one")
        self.digest, self.forms = digest.hexdigest(), sorted(names)

    @staticmethod
    def form(name: str) -> Form:
        """The form of a name: one of ours, or somebody else's, whose items may be anything."""
        return FORMS.get(name) or Form(name, "written by others", 1, "questions", None)

    def take(self, passage: str, form: str) -> list[Item]:
        """The items of a passage, which leave the shelf."""
        return self._items.pop((passage, form), [])

    def lost(self) -> Iterator[tuple[Item, str]]:
        """Items that belong to no passage that came by, each with the reason."""
        yield from self._lost
        for items in self._items.values():
            yield from ((item, _NO_PASSAGE) for item in items)
