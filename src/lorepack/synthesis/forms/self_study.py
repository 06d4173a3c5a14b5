"""The form ``self-study``: what somebody asks who studies a passage, and the answers.

After the self-study of Cartridges (Eyuboglu et al., arXiv 2506.06266): one side asks, from one of
several seeds, as if the passage were not at hand; the other answers with the passage in context.
"""

from __future__ import annotations

from lorepack.facts.passage import Passage
from lorepack.synthesis.forms.form import Ask, Form, Job, Talk
from lorepack.synthesis.forms.rounds import SHOWN, draft, sentences_of

KINDS = ("structure", "summarise", "quiz", "use", "creative")
"""the seeds: structure the data, summarise a named part, quiz, realistic use, creative"""
_PART = 5  # sentences that one question is about


def _write(job: Job) -> Talk:
    said: list[list[str]] = [[] for _ in job.passages]
    for _ in range(1 + job.rounds):
        turn = [
            (place, ask)
            for place, passage in enumerate(job.passages)
            for ask in _questions(job, passage, said[place])
        ]
        if not turn:
            return
        questions = yield [ask for _, ask in turn]
        asked = [
            (place, ask.passage, question)
            for (place, ask), question in zip(turn, questions, strict=True)
            if question is not None
        ]
        if not asked:
            return
        answers = yield [
            Ask("self_study_answer", passage, 1, {"question": question})
            for _, passage, question in asked
        ]
        for (place, passage, question), answer in zip(asked, answers, strict=True):
            said[place].append(question)
            if answer is not None:
                item = draft("self-study", passage, question=question, answer=answer)
                job.admit(passage, [item])


def _questions(job: Job, passage: Passage, said: list[str]) -> list[Ask]:
    """What is lacking, each from the next seed and about a part of the passage that is drawn."""
    lacking = job.n - len(job.kept(passage))
    told, asks = sentences_of(passage), []
    for place in range(len(said), len(said) + lacking):
        begin = job.rng.randrange(max(len(told) - _PART, 0) + 1)
        kind = KINDS[(place + job.rng.randrange(2)) % len(KINDS)]
        values = {
            "kind": kind,
            "number": place,
            "sentences": told[begin : begin + _PART],
            "earlier": said[-SHOWN:],
        }
        asks.append(Ask("self_study_question", passage, 1, values))
    return asks


SELF_STUDY = Form(
    name="self-study",
    about="what somebody asks who studies the passage: five kinds of questions, with answers",
    default=5,
    yields="questions",
    write=_write,
    source="Cartridges (arXiv 2506.06266), self-study",
)
