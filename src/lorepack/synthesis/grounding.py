"""Whether what an item tells stands in its passage: spans, or the overlap of words."""

from __future__ import annotations

from dataclasses import dataclass

from lorepack.facts.documents.tokens import listed
from lorepack.synthesis.words import Told, digits_of, holds_name, stem, told

_BARE = frozenset({"yes", "no", "true", "false", "correct", "incorrect", "none"})
"""answers that no passage holds"""
_CONNECTING = frozenset(
    map(
        stem,
        listed(
            "mean refer involve include contain allow enable ensure provide make help lead cause"
            " become remain give take use need require want aim serve focus describe mention state"
            " say call know consider regard discuss propose suggest show indicate relate apply"
            " concern depend consist based due order way thing case example reason"
            " purpose goal role part kind type form number term word able important importance"
            " significant significance key main specific various different certain particular"
            " possible potential crucial essential better best good well new according instead"
            " rather often especially directly passage text paper article author cite name"
            " used uses using given gives gave made making makes taken takes took said says field"
        ),
    )
)
"""stems that tie an answer together and claim little: neither found nor missing"""


@dataclass(frozen=True)
class Grounding:
    """How much of a text was found.

    Attributes:
        words: share of its content words; 1.0 when it has none.
        named: share of its names and numbers; 1.0 when it has none.
        missing: the names and numbers that were not found, sorted.
    """

    words: float
    named: float
    missing: tuple[str, ...]


def grounding(text: str, *sources: str) -> Grounding:
    """How much of a text its sources hold.

    Args:
        text: an answer, a summary.
        sources: the passage; the question.

    Returns:
        Shares of its words; a word counts as held in any of its inflections, a name also by its
        acronym, a number also when it is written out.
    """
    one, held = told(text), [told(source) for source in sources]
    content = {
        root: word
        for root, word in one.content.items()
        if word not in _BARE and root not in _CONNECTING
    }
    found = [root for root, word in content.items() if _holds(held, one, root, word)]
    named = one.names | one.numbers
    missing = sorted(name for name in named if not _names(held, one, name))
    return Grounding(
        words=len(found) / len(content) if content else 1.0,
        named=1 - len(missing) / len(named) if named else 1.0,
        missing=tuple(missing),
    )


def is_span(text: str, passage: str, least: int = 1) -> bool:
    """Whether a passage holds a text of ``least`` words, normal forms compared word by word."""
    one = told(text)
    return len(one.tokens) >= least and one.padded in told(passage).padded


def _holds(sources: list[Told], one: Told, root: str, word: str) -> bool:
    if any(root in source.stems or root in source.content for source in sources):
        return True
    return word in one.names | one.numbers and _names(sources, one, word)


def _names(sources: list[Told], one: Told, name: str) -> bool:
    if name in one.numbers:
        return any(_holds_number(source, name) for source in sources)
    return any(holds_name(source, one, name) for source in sources)


def _holds_number(source: Told, number: str) -> bool:
    return number in source.all_numbers or digits_of(number) in source.all_numbers
