"""The form ``qa``: questions with answers, the last of them on what the others leave out.

The first round asks for three quarters of them, so that the rounds after it have room for the
sentences that no question touched by then.
"""

from __future__ import annotations

from lorepack.facts.passage import Passage
from lorepack.synthesis.forms.form import Ask, Form, Job, Talk
from lorepack.synthesis.forms.rounds import draft, in_rounds, shared_out
from lorepack.synthesis.item import Item
from lorepack.synthesis.replies import Questions


def _write(job: Job) -> Talk:
    def word(passage: Passage, lacking: int, number: int, before: list[str]) -> list[Ask]:
        if number:
            told = job.uncovered(passage)
            return shared_out("qa_more", passage, lacking, told, earlier=before)
        return shared_out("qa", passage, lacking - lacking // 4 if job.rounds else lacking, ())

    yield from in_rounds(job, word, _drafts, lambda item: item.question or "")


def _drafts(passage: Passage, reply: Questions, ask: Ask) -> list[Item]:
    return [
        draft("qa", passage, question=q.question, answer=q.answer, evidence=q.evidence or None)
        for q in reply.items
    ]


QA = Form(
    name="qa",
    about="questions with answers, in further rounds on what is not covered yet",
    default=8,
    yields="questions",
    write=_write,
    source="LoRA as knowledge memory (arXiv 2603.01097), questions 4, 5 and 12",
)
