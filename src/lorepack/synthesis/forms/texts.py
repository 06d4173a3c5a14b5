"""The forms ``summary`` and ``rewrite``: the passage in other words, shorter or whole."""

from __future__ import annotations

from typing import Any

from lorepack.facts.passage import Passage
from lorepack.synthesis.forms.form import Ask, Form, Job, Talk
from lorepack.synthesis.forms.rounds import draft, in_rounds
from lorepack.synthesis.item import Item

MANNERS = (
    "in plain, everyday words",
    "as an entry of an encyclopedia would tell it",
    "in another order: begin with what it says last",
    "in short sentences, one thing in each",
    "as a letter to a colleague who knows nothing of the matter",
    "as a lecturer would say it to a class",
    "in dense prose with long, careful sentences",
    "as a report would state it, the most important first",
)
"""how the rewordings of one passage are kept apart"""

_A_CALL = 4  # summaries; they are long


def _summaries(job: Job) -> Talk:
    def word(passage: Passage, lacking: int, number: int, before: list[str]) -> list[Ask]:
        return [Ask("summary", passage, min(lacking, _A_CALL), {"earlier": before})]

    calls = -(-job.n // _A_CALL)
    yield from in_rounds(job, word, _texts, lambda item: item.text or "", extra=calls - 1)


def _texts(passage: Passage, reply: Any, ask: Ask) -> list[Item]:
    return [draft("summary", passage, text=text) for text in reply.items]


def _rewordings(job: Job) -> Talk:
    def word(passage: Passage, lacking: int, number: int, before: list[str]) -> list[Ask]:
        places = range(len(before), len(before) + lacking)
        return [Ask("rewrite", passage, 1, _manner(place)) for place in places]

    yield from in_rounds(job, word, _reworded, lambda item: item.text or "")


def _manner(place: int) -> dict[str, Any]:
    again = place // len(MANNERS)
    more = f", and unlike the {again} version{'s' * (again > 1)} before" if again else ""
    return {"manner": MANNERS[place % len(MANNERS)] + more, "number": place}


def _reworded(passage: Passage, reply: str, ask: Ask) -> list[Item]:
    return [draft("rewrite", passage, text=reply)]


SUMMARY = Form(
    name="summary",
    about="summaries that differ in words and order",
    default=1,
    yields="texts",
    write=_summaries,
    source="LoRA as knowledge memory (arXiv 2603.01097), questions 4 and 5",
)
REWRITE = Form(
    name="rewrite",
    about="the whole passage in other words, each time in another manner",
    default=1,
    yields="texts",
    write=_rewordings,
    source="LoRA as knowledge memory (arXiv 2603.01097), questions 4 and 5",
)
