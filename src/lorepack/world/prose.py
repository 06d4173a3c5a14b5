"""Neutral prose in the style of the world: it names nobody and states no fact."""

from __future__ import annotations

import random

HELD_OUT_SEED, TRAINING_SEED = 1, 0

_SLOTS = {
    "time": "In the morning|At noon|Late in the evening|Every spring|On market days|After the rain|"
    "Before sunrise|During the long winter|In those years|Once a week|When the wind turned|"
    "On quiet afternoons|At the end of summer|Toward midnight|All through the autumn",
    "folk": "the farmers|the children|two old sailors|the miller's family|a group of travellers|"
    "the women of the quarter|the apprentices|a few tired soldiers|the fishermen|the neighbours|"
    "the clerks of the court|some merchants|the shepherds|the masons|a company of singers",
    "walk": "walked down to the river|gathered in the square|climbed the narrow hill|"
    "sat under the old trees|waited beside the gate|crossed the wooden bridge|"
    "came home along the shore|stood in front of the church|met behind the mill|"
    "hurried through the lanes|rested near the well|queued outside the bakery",
    "thing": "baskets of apples|barrels of salt|letters from abroad|bread and cheese|new ropes|"
    "bundles of wool|jars of honey|lamps and candles|heavy sacks of grain|painted chairs|"
    "copper pots|maps of the coast|small clay birds|books with torn covers|nets full of fish",
    "place": "the harbour|the market hall|the town wall|the northern road|the ferry|the school|"
    "the courtyard|the old quarry|the orchard|the printing house|the lower mill|the tavern|"
    "the bath house|the green|the customs house",
    "state": "was quiet and cold|smelled of smoke|was full of voices|lay under thick snow|"
    "shone in the last light|had been swept clean|was closed for repairs|looked empty at first|"
    "seemed smaller than before|was bright with flags|stood open all night|was wet with rain",
    "feel": "nobody was in a hurry|everyone spoke of the weather|the dogs began to bark|"
    "the bells rang twice|a cart lost its wheel|the lamps were lit early|the children laughed|"
    "the price of wheat had fallen|someone played a fiddle|the river had risen again|"
    "the post arrived late|the bread was still warm|a light rain began to fall",
    "view": "It was said that patience is worth more than silver|Few people remembered why|"
    "There was talk of a better road|No one thought it would last|The work went on as always|"
    "Such days were long remembered|The old people shook their heads|It took longer than planned|"
    "Nothing more was heard of the matter|A new roof was promised for the spring",
    "beast": "the horses|the geese|a grey cat|the oxen|the swallows|three goats|the bees|"
    "a black dog",
    "act": "slept in the shade|drank from the trough|ran across the yard|made a great noise|"
    "followed the carts|hid behind the barrels|stood still in the wind|went their own way",
}  # fmt: skip

_PATTERNS = (
    "{time} {folk} {walk}.",
    "{time} {folk} brought {thing} to {place}.",
    "{Place} {state}, and {feel}.",
    "{Folk} {walk} and carried {thing}.",
    "{View}.",
    "{View}, and {feel}.",
    "{time} {place} {state}.",
    "Near {place} {beast} {act}, and {feel}.",
    "{Beast} {act} while {folk} {walk}.",
    "{Folk} sold {thing} near {place}, though {feel}.",
    "{Thing} were stacked beside {place}.",
    "{time} {beast} {act}.",
    "When {folk} {walk}, {place} {state}.",
)
_WORDS = {slot: words.split("|") for slot, words in _SLOTS.items()}


def sentence(rng: random.Random) -> str:
    """One neutral sentence."""
    text = rng.choice(_PATTERNS)
    for slot, words in _WORDS.items():
        while "{" + slot + "}" in text:
            text = text.replace("{" + slot + "}", rng.choice(words), 1)
        upper = "{" + slot.capitalize() + "}"
        if upper in text:
            word = rng.choice(words)
            text = text.replace(upper, word[0].upper() + word[1:], 1)
    return text


def passage(rng: random.Random) -> str:
    """One neutral passage of four to seven sentences."""
    return " ".join(sentence(rng) for _ in range(rng.randint(4, 7)))


def neutral_text(size: int = 300) -> list[str]:
    """Held-out neutral passages: no training text contains any of them.

    Args:
        size: number of passages.

    Returns:
        Distinct passages of some sixty words each.
    """
    rng = random.Random(f"lorepack/prose/{HELD_OUT_SEED}")
    return [passage(rng) for _ in range(size)]


def training_prose(size: int) -> list[str]:
    """Neutral passages for the training text, none of them held out."""
    rng = random.Random(f"lorepack/prose/{TRAINING_SEED}")
    kept = set(neutral_text(1000))
    return [text for text in (passage(rng) for _ in range(size)) if text not in kept]
