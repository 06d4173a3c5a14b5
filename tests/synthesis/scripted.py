"""A writer by script, and passages that it writes about."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence

from lorepack.errors import LorepackError
from lorepack.facts.documents import sentences
from lorepack.facts.passage import Passage
from lorepack.synthesis.writers.writer import Keep, Reply, Request

NAMES = ("Ada", "Bruno", "Clara", "Dmitri", "Edith", "Felix", "Greta", "Hugo", "Ida", "Jonas")
TOWNS = ("Arles", "Bremen", "Cadiz", "Dover", "Essen", "Faro", "Ghent", "Hull", "Imola", "Jena")
WORKS = ("baker", "carver", "diver", "editor", "farmer", "glazier", "hatter", "joiner")

Say = Callable[[Request], Reply | str]


def passage(number: int, document: str | None = None) -> Passage:
    """A passage of three sentences that no other one says."""
    name = f"{NAMES[number % 10]} {chr(65 + number // 10 % 26)}{number}son"
    town, work = TOWNS[number * 7 % 10], WORKS[number * 3 % 8]
    year = 1700 + number % 250
    text = f"{name} lives in {town}. {name} works as a {work}. {name} was born in {year}."
    return Passage(text, document=document)


def passages(n: int, a_document: int = 0) -> list[Passage]:
    """Passages; ``a_document`` of them make a document, 0 for none."""
    return [passage(i, f"d{i // a_document}" if a_document else None) for i in range(n)]


def questions_on(text: str) -> list[dict[str, str]]:
    """A question on the last word of each sentence."""
    made = []
    for start, end in sentences(text):
        words = text[start:end].rstrip(".").split()
        made.append(
            {
                "question": f"What comes last of '{' '.join(words[:-1])} …'?",
                "answer": words[-1],
                "evidence": text[start:end],
            }
        )
    return made


def proper(request: Request) -> str:
    """What a good model would say."""
    task = request.task
    if task.prompt in ("qa", "qa_more"):
        assert task.passage is not None
        return json.dumps({"items": questions_on(task.passage.text)[: task.n]})
    if task.prompt == "exam":
        assert task.passage is not None
        items = questions_on(task.passage.text)[: task.n]
        return json.dumps({"items": [{**item, "level": "recall"} for item in items]})
    if task.prompt == "summary":
        assert task.passage is not None
        return json.dumps({"items": [task.passage.text.split(". ")[0] + "."]})
    if task.prompt == "paraphrase":
        question = task.facts[0].question
        made = [f"{start} {question}" for start in ("Tell me:", "Please say:", "Do you know:")]
        earlier = set(task.facts[0].paraphrases)
        return json.dumps({"items": [text for text in made if text not in earlier][: task.n]})
    assert task.passage is not None
    return task.passage.text


class Scripted:
    """A writer that says what a function says.

    Attributes:
        asked: every request.
        batches: how many came together.
    """

    context: int | None = None

    def __init__(self, say: Say = proper, identity: str = "scripted", stop_after: int = -1) -> None:
        self.say, self.identity, self.stop_after = say, identity, stop_after
        self.asked: list[Request] = []
        self.batches: list[int] = []

    def write(self, requests: Sequence[Request], keep: Keep) -> None:
        self.batches.append(len(requests))
        order = sorted(range(len(requests)), key=lambda i: requests[i].key("order"))
        for index in order:  # in any order, as the contract has it
            if len(self.asked) == self.stop_after:
                raise LorepackError("nobody listens at scripted")
            self.asked.append(requests[index])
            said = self.say(requests[index])
            keep(index, said if isinstance(said, Reply) else counted(requests[index], said))


def counted(request: Request, said: str) -> Reply:
    """A reply whose tokens are words, a millionth of a dollar each."""
    read, written = len(request.user.split()), len(re.findall(r"\S+", said))
    return Reply(said, prompt_tokens=read, completion_tokens=written, cost=(read + written) / 1e6)
