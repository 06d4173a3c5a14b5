"""Names that read well, each owned by exactly one part of the world.

A name is built from syllables. Which part of the world may use it follows from its CRC-32, so
that the world's own entities, the throw-away entities of the training text, the endless further
entities and the entities of test passages never share a name, however many are made.
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Iterator
from functools import cache

from lorepack.errors import LorepackError

WORLD, THROWAWAY, FURTHER, READING = range(4)
KINDS = ("person", "town", "firm", "book")


def _words(text: str, separator: str | None = None) -> list[str]:
    return text.split(separator)


_FIRST_HEADS = _words(
    "Al Ar Bel Bren Cal Cor Da Del El Em Fa Fen Ga Gil Ha Hel Is Ja Jor Ka Kel La Lin Lo Ma Mir "
    "Na Nel O Or Pa Per Quin Ra Ro Sa Sel Ta Tem U Va Vel Wen Yo Za"
)
_FIRST_TAILS = _words("na ra len rin dis mar vin lia nor bet sa tor mis ric wyn da ron ley the dan")
_SURNAME_HEADS = _words(
    "Ab Bar Bel Bor Cas Cren Dal Dor Dun Eld Far Fen Gar Gol Hal Har Hol Il Jas Kar Kes Lan Lor "
    "Mar Mel Mor Nar Nes Ol Os Pel Pri Quar Ral Res Sal Sar Sten Tal Tor Tre Ul Var Ves Wal Wes "
    "Yar Zel Zor Thal"
)
_SURNAME_MIDDLES = _words(
    "a am an ar e el em en er i il im in is o ol om on or u ul um un ur ad ed id od ath eth"
)
_SURNAME_TAILS = _words(
    "by dale der do fin gan gard ham kin la lan low man mer more nan ner que rick ros sby sen son "
    "ster ston tas ter vane vik worth"
)
_TOWN_HEADS = _words(
    "Al Am As Bal Ban Bel Ber Bil Bran Bri Cal Can Car Chal Cla Cor Dal Dar Den Dor Dra Ed El Er "
    "Fal Far Fel Fin Gal Gar Glen Gra Hal Har Hel Hin Il Ken Kil Kir Lan Lar Len Lin Lo Mal Mar "
    "Mel Mil Mor Nar Nel Nor Oak Ol Or Pad Pel Pen Quel Ram Red Ril Ros Sal San Sel Sil Sol Tam "
    "Tar Tel Thor Tol Tur Ul Val Ver Wal Win"
)
_TOWN_MIDDLES = _words(
    "a am an ar ber den der e el en er i in ing is lo mer mon o on or ra re ri ro"
)
_TOWN_TAILS = _words(
    "bank beck borne bourne bridge brook bury by cliff combe cross dale den don fall fell field "
    "ford gate grove ham haven hill holm hurst leigh ley march mere mouth ness port shaw stead "
    "stone ton vale wick wood"
)
_TOWN_PREFIXES = ("", "Upper ", "Lower ", "Old ", "New ", "North ", "South ", "East ", "West ")
_FIRM_ENDINGS = _words(
    "& Sons|& Daughters|Brothers|Mills|Foundry|Works|Trading|Shipping|Glass|Press|Books|Cloth|"
    "Timber|Tools|Clocks|Paper|Salt|Lamps|Bakeries|Carriages",
    "|",
)
_ADJECTIVES = _words(
    "Silver Hidden Quiet Broken Crimson Golden Last Lost Hollow Frozen Distant Burning Silent "
    "Ancient Bitter Bright Copper Empty Endless Faded First Gentle Green Grey Iron Little Lonely "
    "Long Narrow Open Pale Patient Perfect Proud Restless Salt Second Secret Shining Sleeping "
    "Slow Small Strange Sunken Tall Third Velvet Wandering White Wild Winter Wooden Young Amber"
)
_NOUNS = _words(
    "Lantern Garden River Bridge Crown Door Orchard Harbour Mirror Tower Letter Map Bell Key Ship "
    "Road Island Forest Window Well Song Stair Clock Field House Island Feather Stone Candle Sea "
    "Valley Gate Market Shadow Storm Thread Winter Summer Voyage Wall Wheel Witness Archive Anchor "
    "Bride Castle Compass Dancer Daughter Empire Farmer Fire Flute Fortune Ghost Guest Hunter "
    "Judge Keeper Kingdom Ladder Lesson Library Lighthouse Machine Mountain Painter Promise Queen"
)


def _joined(*parts: list[str]) -> list[str]:
    """All concatenations, in a fixed order, without repetition."""
    names = [""]
    for part in parts:
        names = [name + piece for name in names for piece in part]
    return list(dict.fromkeys(names))


@cache
def first_names() -> list[str]:
    """The given names (about 900)."""
    return _joined(_FIRST_HEADS, _FIRST_TAILS)


@cache
def surnames() -> list[str]:
    """The family names (about 40,000)."""
    return _joined(_SURNAME_HEADS, _SURNAME_MIDDLES, _SURNAME_TAILS)


@cache
def _town_stems() -> list[str]:
    return _joined(_TOWN_HEADS, _TOWN_MIDDLES, _TOWN_TAILS)


@cache
def _places() -> list[str]:
    return _joined(_TOWN_HEADS, _TOWN_TAILS)


@cache
def _nouns() -> list[str]:
    return list(dict.fromkeys(_NOUNS))


def _axes(kind: str) -> tuple[list[str] | tuple[str, ...], ...]:
    """The lists whose product is the space of names of a kind, slowest first."""
    if kind == "person":
        return first_names(), surnames()
    if kind == "town":
        return _TOWN_PREFIXES, _town_stems()
    if kind == "firm":
        return surnames(), _FIRM_ENDINGS
    if kind == "book":
        return _ADJECTIVES, _nouns(), _places()
    raise LorepackError(f"no such kind of entity: {kind!r}; expected one of {', '.join(KINDS)}")


@cache
def space(kind: str) -> int:
    """How many names of a kind exist, over all owners."""
    return math.prod(len(axis) for axis in _axes(kind))


def name_at(kind: str, index: int) -> str:
    """The name with this index, 0 <= index < space(kind); equal names have equal indices."""
    pieces = []
    for axis in reversed(_axes(kind)):
        index, here = divmod(index, len(axis))
        pieces.append(axis[here])
    pieces.reverse()
    if kind == "book":
        return f"The {pieces[0]} {pieces[1]} of {pieces[2]}"
    return "".join(pieces) if kind == "town" else " ".join(pieces)


def owner(name: str) -> int:
    """Which part of the world may use a name: WORLD, THROWAWAY, FURTHER or READING."""
    return zlib.crc32(name.encode()) & 3


def draw(kind: str, part: int, rng: random.Random) -> str:
    """One name of a kind that `part` owns. Towns are drawn without prefix."""
    size = len(_town_stems()) if kind == "town" else space(kind)
    while True:
        name = name_at(kind, rng.randrange(size))
        if owner(name) == part:
            return name


def walk(kind: str, part: int, seed: int) -> Iterator[str]:
    """Every name of a kind that `part` owns, once each, in an order set by the seed.

    The order is an affine permutation of the indices, so nothing is held in memory.
    """
    blocks = len(_TOWN_PREFIXES) if kind == "town" else 1
    size = space(kind) // blocks
    rng = random.Random(f"lorepack/names/{kind}/{seed}")
    step = rng.randrange(size // 3, size) | 1
    while math.gcd(step, size) != 1:
        step += 2
    start = rng.randrange(size)
    for block in range(blocks):
        for i in range(size):
            name = name_at(kind, block * size + (i * step + start) % size)
            if owner(name) == part:
                yield name
