"""The form ``deep-context``: targets for distillation from a teacher that has the passage.

After deep context distillation (Caccia et al., arXiv 2503.08727): the teacher answers a
task with the passage in context; the student learns to say the same to the task alone. So the task
that is kept names the document where it has a title, and never holds the passage.
"""

from __future__ import annotations

from typing import Any

from lorepack.facts.passage import Passage
from lorepack.synthesis.forms.form import Ask, Form, Job, Talk
from lorepack.synthesis.forms.rounds import draft, in_rounds
from lorepack.synthesis.item import Item

TASKS = (
    ("summary", "Summarise what is told {of}, with all names, numbers and dates that matter."),
    ("qa", "Ask five demanding questions about what is told {of}, and answer each of them."),
    ("summary", "Tell in detail and in order what there is to know {of}."),
    ("qa", "Write an examination of five questions on what is told {of}, with the solutions."),
    ("summary", "State the main points of what is told {of}, and how they hang together."),
    ("qa", "Write down five questions that a reader should be able to answer {of}; answer them."),
    ("summary", "Explain to somebody who knows nothing of it what is told {of}."),
    ("qa", "Quiz me with five questions on what is told {of}, each followed by its answer."),
)
"""kinds and tasks, taken in turn"""
_AGAIN = " Say it in words of your own that you have not used before ({number})."


def task_of(passage: Passage, place: int) -> tuple[str, str]:
    """The kind and the words of a passage's task; all tasks of a passage differ."""
    kind, words = TASKS[place % len(TASKS)]
    task = words.replace("{of}", f"in “{passage.title}”" if passage.title else "in the document")
    again = place // len(TASKS)
    return kind, task + (_AGAIN.replace("{number}", str(again + 1)) if again else "")


def _write(job: Job) -> Talk:
    def word(passage: Passage, lacking: int, number: int, before: list[str]) -> list[Ask]:
        # Not counted from what was said: a task whose target was rejected is not tried again.
        first = job.n * number if number else 0
        return [_ask(passage, place) for place in range(first, first + lacking)]

    yield from in_rounds(job, word, _targets, lambda item: item.task or "")


def _ask(passage: Passage, place: int) -> Ask:
    kind, task = task_of(passage, place)
    values: dict[str, Any] = {"task": task, "kind": kind, "number": place}
    return Ask("deep_context", passage, 1, values)


def _targets(passage: Passage, reply: str, ask: Ask) -> list[Item]:
    return [draft("deep-context", passage, task=ask.values["task"], text=reply)]


DEEP_CONTEXT = Form(
    name="deep-context",
    about="tasks, and what a teacher with the passage at hand answers; for distillation",
    default=2,
    yields="targets",
    write=_write,
    source="deep context distillation (arXiv 2503.08727)",
)
