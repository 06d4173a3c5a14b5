"""The embedded default: a small made world, its facts, and two tiny models that know some of it.

Importing this package is cheap: torch is needed only by `lorepack.world.make`.
"""

from lorepack.world.exposure import facts
from lorepack.world.fresh import ReadingPassage, new_facts, passages
from lorepack.world.harm import harm_sets
from lorepack.world.prose import neutral_text
from lorepack.world.shipped import NAMES, model_path

__all__ = [
    "NAMES",
    "ReadingPassage",
    "facts",
    "harm_sets",
    "model_path",
    "neutral_text",
    "new_facts",
    "passages",
]
