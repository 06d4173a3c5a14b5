"""Made facts whose values have a known entropy: what an adapter holds of them is bits, not words.

Both sets are streams: a fact at a time, equal for equal seeds, and a smaller set is the beginning
of a larger one. Values are drawn independently and uniformly, so that the entropy of one is exact.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from lorepack.errors import InputError
from lorepack.facts.fact import Fact

MOST = 1_000_000
"""facts of one set"""

# Of DDD-DDD-DDDD: area and exchange begin with 2 to 9, the line with 1 to 9 (arXiv 2603.01097).
_NUMBERS = (range(200, 1000), range(200, 1000), range(1000, 10_000))

_FIRST_NAMES = """
Abel Ada Adrian Agnes Alan Alba Alice Alma Alvin Amelia Amos Anita Anna Anton April Arnold
Arthur Astrid Aubrey Audrey Axel Barbara Basil Beatrice Benjamin Bernard Bertha Bianca Boris
Brenda Brian Bruno Calvin Camilla Carl Carmen Casper Cecilia Celia Charles Chloe Clara Clement
Colin Conrad Cora Craig Cyril Daisy Daniel Daphne David Deborah Denise Diana Dora Douglas Duncan
Edgar Edith Edwin Eleanor Elias Elsa Emil Emma Enid Eric Ernest Esther Ethan Eugene Eva Felix
Fiona Flora Floyd Frances Frank Freda George Gerald Gilbert Gloria Gordon Grace Greta Gustav
Hannah Harold Harriet Harvey Hazel Hector Helen Henry Herbert Hilda Hugo Ida Igor Irene Iris
Irma Isaac Isabel Ivan Ivy Jacob Jane Jasper Jean Jerome Joan Joel John Jonas Joseph Joyce
Judith Julian Juliet Karen Karl Kate Keith Kenneth Kurt Lara Laura Leo Leon Lewis Lily Linda
Lionel Lisa Lois Louis Lucas Lucy Luke Lydia Mabel Magnus Malcolm Marcus Margaret Maria Marion
Mark Martha Martin Matilda Maurice Max Maxine Melvin Mildred Miles Mona Morris Muriel Nadia
Nancy Naomi Nathan Neil Nelson Nicholas Nina Noah Nora Norman Olga Oliver Olive Oscar Otto
Pamela Patrick Paul Paula Pearl Percy Peter Philip Phoebe Quentin
"""
_LAST_NAMES = """
Abbott Acker Aldridge Alcott Ames Arden Ashby Atwood Avery Bailey Barlow Barnes Barrett Baxter
Beck Bellamy Bennett Berg Bishop Blackwood Blake Bolton Booth Bowen Bradley Brandt Brewer Briggs
Brooks Buck Burke Burton Byrne Cairns Calloway Cameron Carver Castle Chandler Chapman Clarke
Cole Collier Conway Cooper Corbett Craven Crosby Cross Dalton Darby Davenport Dawson Decker
Dixon Doyle Draper Drummond Duffy Dunn Eaton Eldridge Elliott Ellis Emery English Everett
Farrell Faulkner Fenton Ferris Field Finch Fischer Fleming Fletcher Forbes Foster Fox Francis
Frost Fuller Gallagher Gardner Garrett Gibbs Gilmore Glover Goddard Graves Greer Griffin Hale
Hammond Harding Harlow Harper Hart Hawkins Hayes Heath Hobbs Holland Holt Horton Hughes Hunter
Hurst Ibarra Ingram Irving Jarvis Jennings Jensen Keller Kemp Kendall Kerr Kirby Knight Kramer
Lambert Lane Larson Lawson Lennox Lindgren Lloyd Locke Lowe Lyons Maddox Mallory Manning Marsh
Mason Mayer Mercer Meyers Milton Monroe Moody Moran Morrow Munro Nash Newell Nichols Noble
Norris North Novak Oakley Osborne Palmer Parrish Patton Payne Pearce Peck Perkins Pierce Pike
Porter Pratt Preston Quinn Ramsey Randall Reeves Rhodes Rigby Rivers Robbins Rowe Russell
Rutledge Sanders Sawyer Schmidt Selby Severn Sharpe Shaw Sheldon Shields Sinclair Slater Snyder
Spencer Stark Steele Stokes Stone Sutton Talbot Tate Thorne Thornton Tilly Tobin Townsend Travis
Trent Tucker Turner Underwood Vance Vaughn Vernon Wade Wagner Walsh Warner Watkins Weaver Webb
Weeks Wells Wheeler Whitaker Wilder Winslow Wyatt Yates York
"""
_FIRST, _LAST = _FIRST_NAMES.split(), _LAST_NAMES.split()
# No A: matching leaves articles out, so that "Ada A. Voss" would be "Ada Voss".
_INITIALS = "BCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Generated:
    """A set of made facts.

    Iterating gives the facts, the same ones each time.
    """

    source: str
    size: int
    seed: int
    bits_per_value: float
    """entropy of one value"""
    alphabet: str = ""
    length: int = 0

    @property
    def bits(self) -> float:
        """Entropy of all values together."""
        return self.bits_per_value * self.size

    def __iter__(self) -> Iterator[Fact]:
        facts = _random_map(self) if self.alphabet else _phone_book(self)
        return itertools.islice(facts, self.size)


def phone_book(size: int, seed: int = 0) -> Generated:
    """Invented people with phone numbers of 32.42 bits each, as in arXiv 2603.01097.

    Args:
        size: how many; no two have the same name.
        seed: which names and numbers.

    Raises:
        InputError: a size that is not made here.
    """
    bits = sum(math.log2(len(part)) for part in _NUMBERS)
    return Generated("phonebook", _checked(size), seed, bits)


def random_map(
    size: int, seed: int = 0, *, alphabet: str = "0123456789", length: int = 8
) -> Generated:
    """Invented words with codes of ``length`` signs, all codes equally likely.

    Args:
        size: how many; no two have the same word.
        seed: which words and codes.
        alphabet: the signs of a code, each once.
        length: signs of a code.

    Raises:
        InputError: a size, length or alphabet that is not made here.
    """
    if len(set(alphabet)) != len(alphabet) or len(alphabet) < 2:
        raise InputError(f"alphabet {alphabet!r}: expected two signs or more, each once")
    if not alphabet.isprintable() or any(sign.isspace() for sign in alphabet):
        raise InputError(f"alphabet {alphabet!r}: expected signs that print, and no space")
    if not 1 <= length <= 1_000:
        raise InputError(f"codes of {length} signs; expected 1 to 1,000")
    bits = length * math.log2(len(alphabet))
    return Generated("random-map", _checked(size), seed, bits, alphabet, length)


def _checked(size: int) -> int:
    if not 1 <= size <= MOST:
        raise InputError(f"a set of {size:,} facts; expected 1 to {MOST:,}")
    return size


def _phone_book(made: Generated) -> Iterator[Fact]:
    rng = random.Random(f"numbers {made.seed}")
    for name in _people(made.seed):
        yield _told(made, name, "phone number", "-".join(str(rng.choice(p)) for p in _NUMBERS))


def _random_map(made: Generated) -> Iterator[Fact]:
    rng = random.Random(f"codes {made.seed}")
    for word in _words(made.seed):
        yield _told(made, word, "code", "".join(rng.choices(made.alphabet, k=made.length)))


def _told(made: Generated, subject: str, relation: str, value: str) -> Fact:
    return Fact(
        question=f"What is the {relation} of {subject}?",
        answer=value,
        subject=subject,
        relation=relation,
        object=value,
        source=made.source,
    )


def _people(seed: int) -> Iterator[str]:
    """Names, no two alike: those of two parts first, then those with an initial between."""
    pairs = len(_FIRST) * len(_LAST)
    for index in _shuffled(pairs, f"names {seed}"):
        yield f"{_FIRST[index % len(_FIRST)]} {_LAST[index // len(_FIRST)]}"
    for index in _shuffled(pairs * len(_INITIALS), f"initials {seed}"):
        index, initial = divmod(index, len(_INITIALS))
        first, last = _FIRST[index % len(_FIRST)], _LAST[index // len(_FIRST)]
        yield f"{first} {_INITIALS[initial]}. {last}"


def _words(seed: int) -> Iterator[str]:
    """Words of four syllables, no two alike."""
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    for index in _shuffled(len(syllables) ** 4, f"words {seed}"):
        parts = []
        for _ in range(4):
            index, part = divmod(index, len(syllables))
            parts.append(syllables[part])
        yield "".join(parts).capitalize()


def _shuffled(count: int, seed: str) -> Iterator[int]:
    """The numbers below ``count`` in an order that looks random, in constant memory.

    Each step is a bijection of the numbers of some bits: a product with an odd number, a sum, and
    the upper half added to the lower one bit by bit. Numbers beyond ``count`` are passed over.
    """
    bits = max(count - 1, 1).bit_length()
    mask, half = (1 << bits) - 1, (bits + 1) // 2
    rng = random.Random(seed)
    rounds = [(rng.getrandbits(bits) | 1, rng.getrandbits(bits)) for _ in range(4)]
    for number in range(1 << bits):
        for factor, term in rounds:
            number = (number * factor + term) & mask
            number ^= number >> half
        if number < count:
            yield number
