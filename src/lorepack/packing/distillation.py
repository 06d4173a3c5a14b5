"""What a distillation trains: questions, and for its teacher the same with their passage."""

from __future__ import annotations

from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.facts.passage import Passage
from lorepack.llm import ANSWER, QUESTION, LanguageModel
from lorepack.packing.material import Material
from lorepack.training import Example


def examples(lm: LanguageModel, found: Material, loss: str, notes: list[str]) -> list[Example]:
    """Facts, and targets of a synthesis, each with what the teacher reads.

    The passages themselves are not trained: the teacher reads them before the question.

    Args:
        lm: the model, in whose chat form student and teacher are asked.
        found: facts, targets, and the passages that they were made from.
        loss: the recipe's, for errors.
        notes: how many passages are read is added to it.

    Raises:
        InputError: nothing to ask, or no passage for a question.
    """
    if not (found.facts or found.targets):
        raise InputError(
            f"loss={loss} needs questions on the passages; the data holds texts alone: add facts, "
            "such as those that `lorepack synthesize` makes of them"
        )
    if not found.texts:
        raise InputError(
            f"loss={loss} needs the passage of every fact for its teacher; the data holds none: "
            "add the passages or the document to data (of a synthesis: --form original)"
        )
    shelf, made, read = _Shelf(found, loss), [], set()
    for fact in found.facts:
        passage = shelf.of_fact(fact)
        question, answer = QUESTION.format(q=fact.question), ANSWER.format(a=fact.answer)
        made.append(_example(lm, question, answer, passage, fact.id))
        read.add(passage.id)
    for item in found.targets:
        passage = shelf.called(item.passage, f"target {item.id} ({_short(item.task or '')})")
        made.append(_example(lm, item.task or "", item.text or "", passage, item.id))
        read.add(passage.id)
    notes.append(
        f"{loss}: the teacher reads {len(read):,} of {len(found.texts):,} texts; none of them is "
        "trained itself"
    )
    return made


def _example(lm: LanguageModel, question: str, answer: str, passage: Passage, name: str) -> Example:
    ids, start = lm.chat.example_ids(question, answer)
    prompt = lm.chat.prompt_ids(f"{passage.text}\n{question}")
    # The answer's ids are the student's own, however a tokenizer would join them to the prompt.
    return Example(tuple(ids), start, name, (*prompt, *ids[start:]))


class _Shelf:
    """The passages, by what facts call them."""

    def __init__(self, found: Material, loss: str) -> None:
        self.passage_of, self.loss, self.texts = found.passage_of, loss, found.texts
        self.by_id = {text.id: text for text in found.texts}
        self.by_document: dict[str, list[Passage]] = {}
        for text in found.texts:
            if text.document is not None:
                self.by_document.setdefault(text.document, []).append(text)

    def of_fact(self, fact: Fact) -> Passage:
        """The passage that a fact names by id or document; else the only one that there is."""
        asked = f"fact {fact.id} ({_short(fact.question)})"
        if fact.id in self.passage_of:
            return self.called(self.passage_of[fact.id], asked)
        named = fact.source
        if named is not None and named in self.by_id:
            return self.by_id[named]
        if named is not None and (cut := self.by_document.get(named)):
            if len(cut) == 1:
                return cut[0]
            raise InputError(
                f"{asked} names {named!r}, of which the data holds {len(cut):,} passages; its "
                "source must name one of them, by its id"
            )
        if len(self.texts) == 1:
            return self.texts[0]
        names = "no passage" if named is None else f"{named!r}, which is none of them"
        raise InputError(
            f"{asked} has no passage for its teacher, which loss={self.loss} needs: the data holds "
            f"{len(self.texts):,} and its source names {names}; set it to a passage's id or "
            "document, or give one passage alone"
        )

    def called(self, name: str, asked: str) -> Passage:
        """The passage of an id, for what was written from exactly that one."""
        if name not in self.by_id:
            raise InputError(
                f"{asked} was written from passage {name!r}, which loss={self.loss} needs for its "
                "teacher and the data lacks; add the file of passages to data"
            )
        return self.by_id[name]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."
