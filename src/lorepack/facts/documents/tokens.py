"""Counting tokens without a tokenizer: words and signs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

Count = Callable[[Sequence[str]], list[int]]
"""how many tokens each of several texts has"""

# Scripts written without spaces: Thai to Tibetan, Khmer, kana, ideographs. A character is a token.
_UNSPACED = "\u0e00-\u0fff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[^\w\s]")


def listed(words: str) -> frozenset[str]:
    """Words between spaces as a set."""
    return frozenset(words.split())


def words_and_signs(texts: Sequence[str]) -> list[int]:
    """Words and signs as tokens: about three quarters of what a model's tokenizer counts."""
    return [len(_TOKEN.findall(text)) for text in texts]
