"""Control questions: the questions of a relation, asked about subjects that do not exist.

Nobody knows anything of an invented subject, so how often an answer to it would have counted as
right is how often guessing is (`lorepack.probing.floor`).
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from lorepack.facts import Fact
from lorepack.probing.names import Names

NO_RELATION = "(no relation)"
_LEARNED = 2000  # names of a relation that letters are learned from
_WIDER = 1000  # names of the other relations together, to help where a relation has few
_SLOT = "\0"
_WORDY = re.compile(r"\w")
_MOST = 0.5  # share of a relation's questions that a derived template must fit
_TRIES = 20  # names drawn for one control before the relation is given up


@dataclass(frozen=True)
class Controls:
    """The control questions of a probe, in the order in which they are asked."""

    questions: list[Fact] = field(default_factory=list)
    """with the relation, the invented subject and no answer; ids begin with ``control``"""
    left_out: dict[str, str] = field(default_factory=dict)
    """relations without control questions, and why"""

    def __len__(self) -> int:
        return len(self.questions)


def relation_of(fact: Fact) -> str:
    """The relation that a fact's controls share."""
    return fact.relation or NO_RELATION


def make(facts: Sequence[Fact], count: int, seed: int) -> Controls:
    """Control questions for each relation of some facts.

    Args:
        facts: what is probed. The subject of a question is the fact's ``subject`` where the
            question holds it; elsewhere it is what stands between the words that the relation's
            questions begin and end with.
        count: control questions a relation; 0: none.
        seed: decides questions and names.

    Returns:
        The questions, the same for the same arguments whatever the order of the relations.
    """
    if not count:
        return Controls()
    groups: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        groups[relation_of(fact)].append(fact)
    real = {fact.subject.casefold() for fact in facts if fact.subject}
    questions, left_out = [], {}
    known = {name: _subjects(groups[name], f"{seed} {name}") for name in sorted(groups)}
    each = max(1, _WIDER // len(known))
    for name, found in known.items():
        others = [s for other, rows in known.items() if other != name for _, s in rows[:each]]
        taken = real | {subject.casefold() for _, subject in found}
        made = list(_invented(found, others, taken, count, random.Random(f"{seed} {name} names")))
        if not found:
            left_out[name] = "its questions hold no subject and share no wording"
        elif len(made) < count:
            left_out[name] = "no new names like those of its subjects could be made"
        else:
            questions += [
                Fact(text, "", subject=subject, relation=groups[name][0].relation,
                     id=f"control {name} {i}")
                for i, (text, subject) in enumerate(made)
            ]  # fmt: skip
    return Controls(questions, left_out)


def _subjects(facts: Sequence[Fact], salt: str) -> list[tuple[str, str]]:
    """Templates with a slot and the subjects that stood there, in an order drawn by ``salt``."""
    order = list(facts)
    random.Random(salt).shuffle(order)
    found = []
    for fact in order:
        template = _opened(fact)
        if template is not None:
            found.append((template, str(fact.subject)))
        if len(found) == _LEARNED:
            break
    return found or derived([fact.question for fact in order[:_LEARNED]])


def _opened(fact: Fact) -> str | None:
    """The question with a slot for its subject; None where the subject is not in it."""
    subject = (fact.subject or "").strip()
    if len(subject) < 2:
        return None
    question = fact.question
    if subject not in question:  # names at the start of a sentence, or lower-case ones
        at = question.lower().find(subject.lower())
        subject = question[at : at + len(subject)] if at >= 0 else subject
    parts = question.split(subject)
    whole = not subject.isascii() or all(
        not _WORDY.search(before[-1:]) and not _WORDY.search(after[:1])
        for before, after in itertools.pairwise(parts)
    )
    opened = _SLOT.join(parts)
    return opened if len(parts) > 1 and whole and opened.strip(f"{_SLOT} ?.") else None


def derived(questions: Sequence[str]) -> list[tuple[str, str]]:
    """Templates and subjects of questions whose subjects nobody names.

    The template is the longest beginning and the longest end, in whole words, that at least half
    of the questions share and that leave a word between them.

    Args:
        questions: of one relation.

    Returns:
        ``(template, subject)`` of every question that fits; empty where fewer than two questions,
        or fewer than half of them, share two words of wording.
    """
    rows = [text.split() for text in dict.fromkeys(questions)]
    least = max(2, _MOST * len(rows))
    if len(rows) < 2:
        return []
    start = _shared(rows, least)
    fitting = [row for row in rows if row[: len(start)] == start]
    end = _shared([row[len(start) :][::-1] for row in fitting], least)[::-1]
    if len(start) + len(end) < 2:
        return []
    last = len(end)
    fits = [
        row for row in fitting if len(row) > len(start) + last and row[len(row) - last :] == end
    ]
    if len(fits) < least:
        return []
    return [_cut(row, len(start), len(row) - last) for row in fits]


def _shared(rows: Sequence[list[str]], least: float) -> list[str]:
    """The longest beginning that at least so many rows share and that leaves each a word."""
    shared: list[str] = []
    while True:
        place = len(shared)
        following = Counter(row[place] for row in rows if len(row) > place + 1)
        word, times = following.most_common(1)[0] if following else ("", 0)
        if times < least:
            return shared
        shared.append(word)
        rows = [row for row in rows if len(row) > place + 1 and row[place] == word]


def _cut(row: Sequence[str], start: int, end: int) -> tuple[str, str]:
    """Template and subject; the question mark behind a subject at the end is the template's."""
    subject = " ".join(row[start:end])
    bare = subject.rstrip("?!.,") if end == len(row) else subject
    opened = " ".join([*row[:start], _SLOT + subject[len(bare) :], *row[end:]])
    return opened, bare or subject


def _invented(
    found: Sequence[tuple[str, str]],
    others: Iterable[str],
    taken: set[str],
    count: int,
    rng: random.Random,
) -> Iterator[tuple[str, str]]:
    """``(question, subject)``, the names all different and none of them real."""
    if not found:
        return
    names, seen = Names([subject for _, subject in found], others), set(taken)
    for i in range(count):
        for attempt in range(_TRIES):
            template, like = found[(i + attempt * count) % len(found)]
            subject = names.invent(like, rng)
            if subject.casefold() not in seen:
                break
        else:
            return
        seen.add(subject.casefold())
        yield template.replace(_SLOT, subject), subject
