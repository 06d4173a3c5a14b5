"""Asking in rounds: at first for most of what is wanted, then for what is still lacking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lorepack.facts.documents import sentences
from lorepack.facts.passage import Passage
from lorepack.synthesis.forms.form import Ask, Job, Talk
from lorepack.synthesis.item import Item

AT_ONCE = 10
"""most items of one reply: small models lose the thread, and long replies are cut off"""
SHOWN = 40
"""most earlier items that a prompt shows"""

Word = Callable[[Passage, int, int, list[str]], list[Ask]]
"""(passage, items still lacking, round from 0, what was said before) -> asks"""
Admit = Callable[[Passage, Any, Ask], Sequence[Item]]
"""(passage, reply, its ask) -> drafts"""


def in_rounds(
    job: Job, word: Word, drafts: Admit, said: Callable[[Item], str], extra: int = 0
) -> Talk:
    """The conversation of a form whose items come in lists, all passages side by side.

    A passage is left as soon as it has its items, or nothing usable came back.

    Args:
        job: the work.
        word: makes the asks of a passage.
        drafts: makes items of a reply.
        said: how an item is shown to the writer, so that it is not written again.
        extra: rounds besides the job's, where one round does not ask for all.
    """
    going: list[tuple[Passage, list[str]]] = [(passage, []) for passage in job.passages]
    for number in range(1 + job.rounds + extra):
        asked = [
            (ask, before)
            for passage, before in going
            if (lacking := job.n - len(job.kept(passage))) > 0
            for ask in word(passage, lacking, number, before[-SHOWN:])
        ]
        if not asked:
            return
        replies = yield [ask for ask, _ in asked]
        answered = set()
        for (ask, before), reply in zip(asked, replies, strict=True):
            if reply is not None:
                made = drafts(ask.passage, reply, ask)
                before += map(said, made)
                job.admit(ask.passage, made)
                answered.add(id(before))
        going = [(passage, before) for passage, before in going if id(before) in answered]


def shared_out(
    prompt: str, passage: Passage, n: int, told: Sequence[str], **values: Any
) -> list[Ask]:
    """Asks for ``n`` items together, none of them for more than `AT_ONCE`.

    Args:
        prompt: its name.
        passage: what it is about.
        n: items in all.
        told: sentences that the items are to be about, shared out among the asks; none is all.
        values: further values of the prompt.
    """
    count = -(-n // AT_ONCE)
    if count > 1 and not told:
        told = sentences_of(passage)
    asks = []
    for place in range(count):
        mine = tuple(told[len(told) * place // count : len(told) * (place + 1) // count])
        part = n // count + (place < n % count)
        asks.append(Ask(prompt, passage, part, {"sentences": mine, **values}))
    return asks


def sentences_of(passage: Passage) -> list[str]:
    """The sentences of a passage, each on one line."""
    return [" ".join(passage.text[start:end].split()) for start, end in sentences(passage.text)]


def draft(form: str, passage: Passage, **fields: Any) -> Item:
    """An item of a passage."""
    return Item(form=form, passage=passage.id, document=passage.document, **fields)
