"""The form ``atomic``: statements that say one thing each, with their triples."""

from __future__ import annotations

from lorepack.facts.passage import Passage
from lorepack.synthesis.forms.form import Ask, Form, Job, Talk
from lorepack.synthesis.forms.rounds import draft, in_rounds, shared_out
from lorepack.synthesis.item import Item
from lorepack.synthesis.replies import Statements


def _write(job: Job) -> Talk:
    def word(passage: Passage, lacking: int, number: int, before: list[str]) -> list[Ask]:
        told = job.uncovered(passage) if number else ()
        return shared_out("atomic", passage, lacking, told, earlier=before)

    yield from in_rounds(job, word, _drafts, lambda item: item.text or "")


def _drafts(passage: Passage, reply: Statements, ask: Ask) -> list[Item]:
    return [
        draft(
            "atomic",
            passage,
            text=said.statement,
            subject=said.subject or None,
            relation=said.relation or None,
            object=said.object or None,
            evidence=said.evidence or None,
        )
        for said in reply.items
    ]


ATOMIC = Form(
    name="atomic",
    about="statements that say one thing each, with subject, relation and object",
    default=8,
    yields="texts",
    write=_write,
)
