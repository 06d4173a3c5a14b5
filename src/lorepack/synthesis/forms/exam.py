"""The form ``exam``: questions at three levels, for evaluation only.

The levels are those of PaperQA (LoRA as knowledge memory, arXiv 2603.01097): recall of what is
stated, comprehension of what is meant, inference from statements put together.
"""

from __future__ import annotations

from collections import Counter

from lorepack.facts.passage import Passage
from lorepack.synthesis.forms.form import Ask, Form, Job, Talk
from lorepack.synthesis.forms.rounds import AT_ONCE, SHOWN, draft
from lorepack.synthesis.item import Item
from lorepack.synthesis.replies import LEVELS, ExamQuestions


def shares(n: int) -> dict[str, int]:
    """How many questions each level gets: as even as can be, the lower levels first."""
    return {level: n // 3 + (place < n % 3) for place, level in enumerate(LEVELS)}


def _write(job: Job) -> Talk:
    said: list[list[str]] = [[] for _ in job.passages]
    wanted = shares(job.n)
    # A reply holds so many at most: further rounds where a level asks for more.
    for _ in range(job.rounds + -(-max(wanted.values()) // AT_ONCE)):
        turn = [
            (place, ask)
            for place, passage in enumerate(job.passages)
            for ask in _lacking(job, passage, wanted, said[place])
        ]
        if not turn:
            return
        replies = yield [ask for _, ask in turn]
        for (place, ask), reply in zip(turn, replies, strict=True):
            if reply is not None:
                level = ask.values["level"]
                drafts = _drafts(ask, reply)
                said[place] += [item.question or "" for item in drafts if item.level == level]
                _admit(job, ask, drafts, wanted[level])


def _lacking(job: Job, passage: Passage, wanted: dict[str, int], said: list[str]) -> list[Ask]:
    kept = Counter(item.level for item in job.kept(passage))
    earlier = said[-SHOWN:]
    return [
        Ask("exam", passage, min(n - kept[level], AT_ONCE), {"level": level, "earlier": earlier})
        for level, n in wanted.items()
        if n > kept[level]
    ]


def _drafts(ask: Ask, reply: ExamQuestions) -> list[Item]:
    return [
        draft(
            "exam",
            ask.passage,
            question=q.question,
            answer=q.answer,
            level=q.level or ask.values["level"],
            evidence=q.evidence or None,
        )
        for q in reply.items
    ]


def _admit(job: Job, ask: Ask, drafts: list[Item], wanted: int) -> None:
    """Hand in one by one, so that no level gets more than its share."""
    level = ask.values["level"]
    for item in drafts:
        if item.level != level:
            # What the writer itself holds to be of another level is not what was asked for.
            job.reject(item, "level", f"it was asked for {level}")
        elif sum(other.level == level for other in job.kept(ask.passage)) < wanted:
            job.admit(ask.passage, [item])
        else:
            job.reject(item, "surplus")


EXAM = Form(
    name="exam",
    about="questions at three levels (recall, comprehension, inference); for evaluation only",
    default=9,
    yields="questions",
    write=_write,
    evaluation=True,
    source="LoRA as knowledge memory (arXiv 2603.01097), PaperQA",
)
