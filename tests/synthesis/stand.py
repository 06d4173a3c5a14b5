"""A stand-in for the work of a form, and driving the form's conversation with it."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lorepack.facts.passage import Passage
from lorepack.synthesis.forms import Ask, Form
from lorepack.synthesis.forms.rounds import sentences_of
from lorepack.synthesis.item import Item
from lorepack.synthesis.prompts import Prompts

TEXT = "Ida Voss built the bridge of Varn. It opened in 1822. Bo Lund paid for it. It fell soon."
PASSAGE = Passage(TEXT, title="Varn", document="d", id="p1")
OTHER = Passage("Bo Lund was born in Ulm. Ida Voss taught Bo Lund.", document="d", id="p2")


class Stand:
    """A job that keeps what its gate admits; sentences that no item names are not covered."""

    def __init__(
        self,
        passages: Sequence[Passage],
        n: int,
        rounds: int = 2,
        admits: Callable[[Item], bool] = lambda item: True,
        per_document: bool = False,
    ) -> None:
        self.passages, self.n, self.rounds, self.admits = passages, n, rounds, admits
        self.rng = random.Random(5)
        self.items: dict[str, list[Item]] = defaultdict(list)
        self.per_document = per_document
        self.rejected: list[tuple[str, Item]] = []

    def facts(self, passage: Passage) -> tuple[()]:
        return ()

    def kept(self, passage: Passage) -> list[Item]:
        return self.items[passage.id]

    @property
    def all(self) -> list[Item]:
        return [item for items in self.items.values() for item in items]

    def uncovered(self, passage: Passage) -> list[str]:
        held = [item.evidence for item in self.kept(passage)]
        return [said for said in sentences_of(passage) if said not in held]

    def reject(self, draft: Item, reason: str, detail: str = "") -> None:
        self.rejected.append((reason, draft))

    def admit(self, passage: Passage, drafts: Sequence[Item]) -> int:
        admitted = 0
        for item in drafts:
            kept = self.all if self.per_document else self.items[passage.id]
            if len(kept) < self.n and item not in kept and self.admits(item):
                assert item.passage == passage.id
                self.items[passage.id].append(item)
                admitted += 1
        return admitted


@dataclass
class Told:
    """What a conversation asked, turn by turn."""

    turns: list[list[Ask]] = field(default_factory=list)

    @property
    def asks(self) -> list[Ask]:
        return [ask for turn in self.turns for ask in turn]


def numbered(ask: Ask, number: int) -> Any:
    """A reply in the right shape, other in every turn."""
    rows: list[Any] = []
    for i in range(ask.n):
        about = f"{ask.values.get('level', '')} {ask.values.get('sentences') or ''}"
        name = f"{ask.prompt} {about} {number}.{i}"
        rows.append(
            {
                "question": f"What is {name}?",
                "answer": f"a{number}.{i}",
                "statement": f"It is {name}.",
            }
        )
    if ask.prompt in ("summary", "paraphrase"):
        rows = [row["statement"] for row in rows]
    if ask.prompt == "entities":
        rows = ["Ida Voss", "Voss", "Bo Lund", "Varn", "Nobody", "Ulm"]
    return {"items": rows}


def told(form: Form, job: Stand, reply: Callable[[Ask, int], Any] = numbered) -> Told:
    """Drive a form's conversation to its end; replies are checked as the runner checks them."""
    prompts, seen, number = Prompts(), Told(), 0
    talk = form.write(job)
    try:
        turn = next(talk)
        while True:
            seen.turns.append(turn)
            answers = []
            for ask in turn:
                number += 1
                said, shape = reply(ask, number), prompts.shape(ask.prompt)
                if said is None:
                    answers.append(None)
                elif shape is None:
                    answers.append(said if isinstance(said, str) else f"text {number}")
                else:
                    answers.append(shape.model_validate(json.loads(json.dumps(said))))
            turn = talk.send(answers)
    except StopIteration:
        return seen
