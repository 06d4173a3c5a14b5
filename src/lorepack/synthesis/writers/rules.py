"""The writer without a model: it answers by rules, from triples and from the passage's sentences.

It never invents: answers are spans of the passage, statements are triples or sentences of it. What
it cannot do well it does not do, so that it often gives fewer items than asked for, or none.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lorepack.facts import Fact
from lorepack.synthesis.rouge import rouge_l
from lorepack.synthesis.writers.asking import Asked, by_pattern, with_gap
from lorepack.synthesis.writers.reading import Reading, Sentence, content, one_line, reading
from lorepack.synthesis.writers.rearranging import resolved, rewritten
from lorepack.synthesis.writers.rewording import wordings
from lorepack.synthesis.writers.triples import (
    Triple,
    answer_in,
    connections,
    joined,
    triples,
)
from lorepack.synthesis.writers.writer import Keep, Reply, Request, Task
from lorepack.text import normalise

VERSION = 2
"""raised with every change of what the rules write"""
_WORDINGS = 4  # of a fact's question, besides its own, that questions on a passage are made of
_OTHERS = 24  # wordings of which an exam may take those that are unlike what training asks
_COMPARED = 16  # questions on a subject that such a wording is compared with
_UNLIKE = 0.7  # ROUGE-L below which a wording is no leak


class RuleWriter:
    """A writer that needs no model and costs nothing; equal requests get equal replies."""

    @property
    def identity(self) -> str:
        """The version of the rules."""
        return f"rules/{VERSION}"

    @property
    def context(self) -> int | None:
        """There is no bound."""
        return None

    def write(self, requests: Sequence[Request], keep: Keep) -> None:
        """Answer all requests, in their order."""
        for index, request in enumerate(requests):
            write = _WRITERS.get(request.task.prompt)
            if write is None:
                known = ", ".join(sorted(_WRITERS))
                failed = f"the rules cannot answer {request.task.prompt!r}; they know: {known}"
                keep(index, Reply(failed=failed))
            else:
                keep(index, Reply(text=write(request.task, _Case(request))))


class _Case:
    """What a request is about, read once."""

    def __init__(self, request: Request) -> None:
        task = request.task
        text = task.passage.text if task.passage else ""
        self.told: Reading = reading(text, task.passage.title if task.passage else None)
        self._form = f" {normalise(text)} "
        self.facts = [fact for fact in task.facts if answer_in(fact, text) is not None]
        self.triples: list[Triple] = triples(task.facts, text)
        self.earlier = {normalise(said) for said in _texts(task.values.get("earlier"))}
        wanted = {normalise(said) for said in _texts(task.values.get("sentences"))}
        focus = [s for s in self.told.sentences if normalise(s.text) in wanted]
        self.focus: list[Sentence] = focus if wanted else list(self.told.sentences)
        number = task.values.get("number", 0)
        self.number = number if isinstance(number, int) else 0
        # Not of the seed alone: rewritings of one passage differ by their number.
        self.rng = random.Random(f"{VERSION}/{request.seed}/{task.prompt}/{self.number}/{text}")

    def in_focus(self, fact: Fact) -> bool:
        """Whether the sentences that are asked about tell a fact."""
        return any(answer_in(fact, s.text) is not None for s in self.focus)

    def by_weight(self, among: Iterable[Sentence]) -> list[Sentence]:
        """Sentences, the most telling first."""
        return sorted(among, key=lambda s: (-self.told.weight(s), s.place))

    def evidence(self, triple: Triple) -> str:
        """The sentence that tells a triple: one with both ends, or else with the object."""
        found = self.told.holding(triple.subject, triple.object)
        found = found or self.told.holding(triple.object)
        return found[0].text if found else ""

    def asked(self, exam: bool = False) -> list[Asked]:
        """All questions that there are, the best first, none of them asked before.

        Those of an exam ask facts in other wordings, where there are any: both may stand then.
        """
        made: dict[str, Asked] = {}
        for one in self._questions(self._of_exam if exam else self._of_training):
            form = normalise(one.question)
            span = f" {normalise(one.answer)} "
            if form not in self.earlier and span.strip() and span in self._form:
                made.setdefault(form, one)
        return list(made.values())

    def _questions(self, worded: Callable[[Fact], list[str]]) -> Iterable[Asked]:
        facts = sorted(self.facts, key=lambda fact: not self.in_focus(fact))
        more = {fact.id: worded(fact) for fact in facts}
        for fact in facts:
            yield self._of_fact(fact, more[fact.id][0])
        # A sentence that tells a fact was asked about, unless questions run out.
        free = [s for s in self.focus if not any(answer_in(f, s.text) for f in self.facts)]
        for sentence in self.by_weight(free):
            yield from by_pattern(self.told, sentence)
        for place in range(1, 1 + _WORDINGS):
            for fact in facts:
                if place < len(more[fact.id]):
                    yield self._of_fact(fact, more[fact.id][place])
        gaps = [list(with_gap(self.told, s)) for s in self.by_weight(free)]
        for place in range(max(map(len, gaps), default=0)):
            yield from (asked[place] for asked in gaps if place < len(asked))

    def _of_training(self, fact: Fact) -> list[str]:
        """A fact's question and others, without the wording that an exam would ask."""
        if not _is_worded(fact):
            return [fact.question]
        kept = self._of_exam(fact)[0]
        more = [said for said in wordings(fact, 1 + _WORDINGS) if said != kept]
        return [fact.question, *more[:_WORDINGS]]

    def _of_exam(self, fact: Fact) -> list[str]:
        """Wordings that are unlike the questions on their subject, those first that training has
        no use for; the fact's own question where there are none."""
        if not _is_worded(fact):
            return [fact.question]
        others = [other.question for other in self.facts if other.subject == fact.subject]
        own = {fact.question, *others[:_COMPARED]}
        unlike = []
        for place, said in enumerate(wordings(fact, _OTHERS)):
            nearest = max(rouge_l(said, question) for question in own)
            if nearest < _UNLIKE:
                unlike.append((place < _WORDINGS, nearest, place, said))
        return [said for *_, said in sorted(unlike)] or [fact.question]

    def _of_fact(self, fact: Fact, question: str) -> Asked:
        answer = answer_in(fact, self.told.text) or fact.answer
        held = [s.text for s in self.told.sentences if answer_in(fact, s.text) is not None]
        return Asked(question, answer, held[0] if held else "", "fact")


def _is_worded(fact: Fact) -> bool:
    return bool(fact.paraphrases or (fact.subject and fact.relation))


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if value else []


def _items(items: Sequence[Any]) -> str:
    return json.dumps({"items": items}, ensure_ascii=False)


def _questions(task: Task, case: _Case) -> str:
    return _items([_row(one) for one in case.asked()[: task.n]])


def _row(asked: Asked) -> dict[str, str]:
    return {"question": asked.question, "answer": asked.answer, "evidence": asked.evidence}


def _summaries(task: Task, case: _Case) -> str:
    """Each of the most telling sentences that are left, a quarter of all, in their order."""
    alone = [s for s in case.told.ranked if s.stands_alone or resolved(s, case.triples) != s.plain]
    size = max(1, round(len(case.told.sentences) / 4))
    alone = alone if len(alone) >= size else case.told.ranked
    made = []
    for start in range(0, len(alone), size):
        chosen = sorted(alone[start : start + size], key=lambda s: s.place)
        text = one_line(resolved(s, case.triples) for s in chosen)
        if len(chosen) == size and normalise(text) not in case.earlier:
            made.append(text)
    return _items(made[: task.n])


def _rewrite(task: Task, case: _Case) -> str:
    return rewritten(case.told, case.triples, case.rng)


def _statements(task: Task, case: _Case) -> str:
    rows = [
        {
            "statement": triple.statement,
            "subject": triple.subject,
            "relation": triple.words,
            "object": triple.object,
            "evidence": case.evidence(triple),
        }
        for triple in case.triples
    ]
    objects = [f" {normalise(triple.object)} " for triple in case.triples]
    for sentence in case.by_weight(case.focus):
        told = any(o in f" {normalise(sentence.text)} " for o in objects)
        if sentence.stands_alone and not told and len(sentence.plain.split()) <= 40:
            rows.append({"statement": sentence.plain, "evidence": sentence.text})
    return _items([r for r in rows if normalise(r["statement"]) not in case.earlier][: task.n])


def _entities(task: Task, case: _Case) -> str:
    ends = [name for triple in case.triples for name in (triple.subject, triple.object)]
    # Small numbers are no entities: too many other things are two.
    names = [name for name in case.told.names if len(name) > 2 or not name[0].isdigit()]
    return _items(list(dict.fromkeys([*ends, *names]))[: task.n])


def _pair(task: Task, case: _Case) -> str:
    first, second = str(task.values.get("first", "")), str(task.values.get("second", ""))
    said = [t.statement for t in case.triples if {t.subject, t.object} == {first, second}]
    both = case.told.holding(first, second)
    if not both:
        # They meet in no sentence: what is told of each, in the passage's order.
        each = [*case.told.holding(first)[:3], *case.told.holding(second)[:3]]
        both = sorted(set(each), key=lambda s: s.place)
    return one_line([*said, *(resolved(s, case.triples) for s in both)])


def _study_question(task: Task, case: _Case) -> str:
    subjects = list(dict.fromkeys(t.subject for t in case.triples))
    subjects = subjects or [name for name in case.told.names if not name[0].isdigit()][:8]
    about = subjects[case.number % len(subjects)] if subjects else None
    kind = task.values.get("kind")
    if about and kind == "structure":
        return f"List what you know about {about}, one thing a line."
    if about and kind == "summarise":
        return f"Summarise what there is to know about {about}."
    asked = case.asked()
    return asked[case.number % len(asked)].question if asked else ""


def _study_answer(task: Task, case: _Case) -> str:
    """By the kinds of `_study_question`, and else the sentence that fits the message best."""
    question = str(task.values.get("question", ""))
    form = f" {normalise(question)} "
    about = [t for t in case.triples if f" {normalise(t.subject)} " in form]
    named = [name for name in case.told.names if f" {normalise(name)} " in form]
    held = case.told.holding(max(named, key=len))[:4] if named else []
    if question.startswith("List what"):
        lines = [t.statement for t in about] or [s.plain for s in held]
        return "\n".join(f"- {line}" for line in lines)
    if question.startswith("Summarise"):
        return one_line([t.statement for t in about] or [s.plain for s in held])
    answers = [a.answer for a in case.asked() if normalise(a.question) == normalise(question)]
    return answers[0] if answers else _closest(question, case)


def _closest(question: str, case: _Case) -> str:
    words = set(content(question))
    best = max(
        case.told.sentences,
        key=lambda s: (len(words & set(content(s.plain))), -s.place),
        default=None,
    )
    shared = words & set(content(best.plain)) if best else set()
    return resolved(best, case.triples) if best and len(shared) * 2 >= len(words) else ""


def _target(task: Task, case: _Case) -> str:
    if task.values.get("kind") == "qa":
        asked = case.asked()
        start = 5 * (case.number // 2) % max(len(asked), 1)
        pairs = asked[start : start + 5]
        return "\n\n".join(f"Question: {a.question}\nAnswer: {a.answer}" for a in pairs)
    whole = [s for s in case.told.ranked if s.stands_alone or resolved(s, case.triples) != s.plain]
    share = (0.25, 0.5, 0.15, 0.35)[case.number // 2 % 4]
    chosen = whole[: max(1, round(share * len(case.told.sentences)))]
    return one_line(
        resolved(s, case.triples) for s in sorted(chosen, key=lambda sentence: sentence.place)
    )


def _exam(task: Task, case: _Case) -> str:
    """By level: facts and gaps; meanings and connections; two triples of one subject joined."""
    level = str(task.values.get("level", "recall"))
    asked = case.asked(exam=True)
    if level == "inference":
        pairs = joined(case.triples)
    elif level == "comprehension":
        pairs = [(a.question, a.answer) for a in asked if a.sort == "meaning"]
        pairs += connections(case.triples)
    else:
        pairs = [(a.question, a.answer) for a in asked if a.sort != "meaning"]
    rows = [
        {"question": question, "answer": answer, "level": level}
        for question, answer in pairs
        if normalise(question) not in case.earlier
    ]
    return _items(rows[: task.n])


def _paraphrases(task: Task, case: _Case) -> str:
    if not task.facts:
        return _items([])
    (fact, *_), earlier = task.facts, _texts(task.values.get("earlier"))
    return _items(wordings(fact, task.n, (*fact.paraphrases, *earlier)))


_WRITERS: dict[str, Callable[[Task, _Case], str]] = {
    "qa": _questions,
    "qa_more": _questions,
    "summary": _summaries,
    "rewrite": _rewrite,
    "atomic": _statements,
    "entities": _entities,
    "pair": _pair,
    "self_study_question": _study_question,
    "self_study_answer": _study_answer,
    "deep_context": _target,
    "exam": _exam,
    "paraphrase": _paraphrases,
}
