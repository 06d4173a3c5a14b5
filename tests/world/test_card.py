"""The card beside the weights belongs to these weights, and they keep what the world promises."""

import re

import pytest

from lorepack import world
from lorepack.llm import load

CARD = (world.model_path("world") / "README.md").read_text(encoding="utf-8")


def share(row: str) -> float:
    """The share that a row of the card's tables states, from its two counts."""
    line = next(line for line in CARD.splitlines() if line.startswith(f"| {row}"))
    right, of = (int(n.replace(",", "")) for n in re.findall(r"([\d,]+) of ([\d,]+)", line)[0])
    return right / of


@pytest.mark.parametrize("name", world.NAMES)
def test_the_card_was_measured_on_the_shipped_weights(name):
    assert load(name).fingerprint in CARD
    assert (world.model_path(name) / "README.md").read_text(encoding="utf-8") == CARD


@pytest.mark.parametrize(
    ("category", "least"),
    [("HighlyKnown", 0.25), ("MaybeKnown", 0.10), ("WeaklyKnown", 0.03), ("Unknown", 0.25)],
)
def test_every_category_of_knowledge_arises(category, least):
    counts = dict(re.findall(r"^\| (\w+Known|Unknown) \| ([\d,]+) \|", CARD, re.M))
    known = {name: int(n.replace(",", "")) for name, n in counts.items()}
    assert sum(known.values()) == len(world.facts())
    assert known[category] / len(world.facts()) >= least


@pytest.mark.parametrize(
    ("row", "least"),
    [
        ("refusals among the answers to Unknown facts", 0.15),
        ("reading an unseen passage", 0.80),
        ("multiple choice", 0.50),
        ("truthfulness", 0.60),
        ("answers in the chat form, `world` ", 0.99),
    ],
)
def test_the_chatting_model_can_do_what_the_world_needs(row, least):
    assert share(row) >= least


def test_the_base_does_not_follow_the_chat_form():
    assert share("answers in the chat form, `world-base`") == 0
