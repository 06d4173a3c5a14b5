"""Texts as numbers of 64 bits: the same on every machine, and different for every seed.

Two different texts of a million share such a number once in 10^7 files.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from lorepack.facts.fact import Fact
from lorepack.text import normalise

Numbers = np.ndarray[Any, np.dtype[np.uint64]]


def fingerprint(text: str) -> int:
    """The number of a text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def seeded(numbers: Numbers, seed: int) -> Numbers:
    """Numbers that look drawn for this seed: equal for equal ones, independent of all others."""
    numbers = numbers ^ np.uint64(fingerprint(f"seed {seed}"))
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53, 1):  # as MurmurHash3 ends
        numbers = (numbers ^ (numbers >> np.uint64(33))) * np.uint64(factor)
    return numbers


def form_of(text: str) -> str:
    """The normal form of a text; the text itself where nothing is left of it."""
    return normalise(text) or text


def exact_form(fact: Fact) -> str:
    """Question and answer in normal form: equal for facts that are the same."""
    return f"{form_of(fact.question)}\x1f{form_of(fact.answer)}"
