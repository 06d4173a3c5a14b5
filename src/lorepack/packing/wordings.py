"""A trained fact's other wordings: those that are trained, and those held out for generality."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from lorepack import files
from lorepack.errors import MismatchError
from lorepack.facts import Fact
from lorepack.text import normalise


def heldout_of(facts: Sequence[Fact], manifest: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The wordings that a mix held out, found again from its manifest.

    Args:
        facts: all facts of the mix, and perhaps others.
        manifest: `Mix.manifest`, as an adapter's ``lorepack.json`` keeps it.

    Raises:
        MismatchError: these facts, or their wordings, are not those of the mix.
    """
    trained = set(manifest["trained"])
    found = {
        fact.id: words
        for fact in facts
        if fact.id in trained and (words := split_wordings(fact, manifest["settings"])[1])
    }
    if files.hash_of({k: list(v) for k, v in found.items()}) != manifest["hashes"]["heldout"]:
        raise MismatchError("the wordings held out in training are not among these facts'")
    return found


def split_wordings(
    fact: Fact, settings: Mapping[str, Any]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A trained fact's other wordings: those trained, and those held out."""
    words = different_wordings(fact, settings["seed"])
    trained, rest = words[: settings["paraphrases"]], words[settings["paraphrases"] :]
    return trained, rest[-settings["heldout"] :] if settings["heldout"] else ()


def different_wordings(fact: Fact, seed: int) -> tuple[str, ...]:
    """The different other wordings of a fact's question, in the seed's order."""
    different: dict[str, str] = {}
    for wording in fact.paraphrases:
        form = normalise(wording) or wording
        if wording.strip() and form != normalise(fact.question):
            different.setdefault(form, wording)
    words = list(different.values())
    random.Random(f"{seed}:{fact.id}").shuffle(words)
    return tuple(words)
