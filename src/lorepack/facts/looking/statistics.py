"""What is in a file of facts, in numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lorepack.facts.documents.tokens import Count, words_and_signs
from lorepack.facts.fact import Fact
from lorepack.facts.looking.counting import Distinct, Frequent
from lorepack.facts.looking.fingerprints import fingerprint, form_of
from lorepack.facts.looking.formats import Formats, ValueFormat
from lorepack.facts.looking.lengths import Lengths, LengthSummary
from lorepack.facts.looking.passes import Passes, Progress
from lorepack.facts.looking.popularity import Popularity, PopularitySummary
from lorepack.facts.looking.relations import Relations, RelationSummary

WORDS = "words and signs"
"""what counts as a token without a tokenizer"""
TOP = 20
"""answers and labels that are listed"""
_LISTED = 1_000
_BATCH = 4_096
_LABELS = ("source", "split", "domain")


@dataclass(frozen=True)
class Number:
    """How many there are, and whether that is exact."""

    count: int
    exact: bool


@dataclass(frozen=True)
class Common:
    """The most frequent texts and how often each occurs."""

    top: list[tuple[str, int]]
    exact: bool
    """otherwise a count is one the text has at least, and a rare text may be missing"""


@dataclass(frozen=True)
class Statistics:
    """The result of `stats`."""

    file: str
    facts: int
    distinct: dict[str, Number]
    """``questions`` and ``answers`` (in normal form), ``subjects`` and ``relations``"""
    with_aliases: int
    with_paraphrases: int
    relations: list[RelationSummary]
    labels: dict[str, Common]
    """by ``source``, ``split`` and ``domain``, those that are given"""
    popularity: PopularitySummary | None
    answers: Common
    lengths: dict[str, dict[str, LengthSummary]]
    """``question`` and ``answer``, each in ``characters`` and ``tokens``"""
    tokens: str
    """what a token is: the name of a model, or words and signs"""
    formats: list[ValueFormat]

    def to_json(self) -> dict[str, Any]:
        """The numbers as a JSON object; at most 1,000 relations, the largest ones."""
        row = asdict(self)
        row["relations"] = row["relations"][:_LISTED]
        for one, value in zip(row["formats"], self.formats, strict=True):
            one["total"] = value.total
        return {"schema": 1, **row}


def stats(
    path: Path | str,
    *,
    count: Count = words_and_signs,
    tokens: str = WORDS,
    notes: list[str] | None = None,
    progress: Progress | None = None,
) -> Statistics:
    """Count what is in a file of facts, in one pass and bounded memory.

    Args:
        path: see `lorepack.facts.read`.
        count: how many tokens each of several texts has.
        tokens: what ``count`` counts, for the reader.
        notes: where to say which fields were left out.
        progress: called as ``progress(stage, rows)``.

    Returns:
        The numbers. What is no longer exact in a very large file says so.

    Raises:
        NotFoundError: there is no such file.
        InputError: the first bad row, as ``file:line: …``.
    """
    seen = _Seen(count)
    for batch in _batches(Passes(path, notes, progress)):
        seen.add(batch)
    return seen.result(str(path), tokens)


def _batches(source: Passes) -> Iterator[list[Fact]]:
    batch: list[Fact] = []
    for _, fact in source.whole():
        batch.append(fact)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class _Seen:
    """All counters of a file."""

    def __init__(self, count: Count) -> None:
        self.count = count
        self.facts = self.with_aliases = self.with_paraphrases = 0
        self.distinct = {name: Distinct() for name in ("questions", "answers", "subjects")}
        self.relations, self.formats, self.popularity = Relations(), Formats(), Popularity()
        self.answers = Frequent()
        self.labels = {name: Frequent(1_000) for name in _LABELS}
        self.lengths = {
            name: {"characters": Lengths(), "tokens": Lengths()} for name in ("question", "answer")
        }

    def add(self, facts: list[Fact]) -> None:
        """Count several facts."""
        self.facts += len(facts)
        for fact in facts:
            self._count(fact)
        for name, lengths in self.lengths.items():
            texts = [getattr(fact, name) for fact in facts]
            lengths["characters"].add(map(len, texts))
            lengths["tokens"].add(self.count(texts))

    def _count(self, fact: Fact) -> None:
        answer = form_of(fact.answer)
        self.distinct["questions"].add(fingerprint(form_of(fact.question)))
        self.distinct["answers"].add(fingerprint(answer))
        self.answers.add(answer, fact.answer)
        if fact.subject is not None:
            self.distinct["subjects"].add(fingerprint(fact.subject))
        self.formats.add(self.relations.add(fact.relation, answer, fact.answer), fact.answer)
        self.with_aliases += bool(fact.aliases)
        self.with_paraphrases += bool(fact.paraphrases)
        if fact.popularity is not None:
            self.popularity.add(fact.popularity)
        for name, common in self.labels.items():
            label = getattr(fact, name)
            if label is not None:
                common.add(label, label)

    def result(self, file: str, tokens: str) -> Statistics:
        """What was counted."""
        numbers = {name: Number(found.count, found.exact) for name, found in self.distinct.items()}
        numbers["relations"] = Number(*self.relations.named())
        return Statistics(
            file=file,
            facts=self.facts,
            distinct=numbers,
            with_aliases=self.with_aliases,
            with_paraphrases=self.with_paraphrases,
            relations=self.relations.summary(),
            labels={
                name: Common(common.top(TOP), not common.missed)
                for name, common in self.labels.items()
                if common.top(1)
            },
            popularity=self.popularity.summary(),
            answers=self._answers(),
            lengths={
                name: {unit: one.summary() for unit, one in lengths.items()}
                for name, lengths in self.lengths.items()
            },
            tokens=tokens,
            formats=self.formats.found(self.relations.facts),
        )

    def _answers(self) -> Common:
        """The most frequent answers; exact counts where their numbers were all held."""
        top = self.answers.top(None if self.answers.missed else TOP)
        if not self.answers.missed:
            return Common([(self.answers.shown(text), n) for text, n in top], True)
        distinct = self.distinct["answers"]
        known = [(text, distinct.count_of(fingerprint(text)) or n) for text, n in top]
        known = sorted(known, key=lambda item: (-item[1], item[0]))[:TOP]
        # A text that was forgotten occurred no more than `missed` times.
        sure = distinct.exact and bool(known) and known[-1][1] > self.answers.missed
        return Common([(self.answers.shown(text), n) for text, n in known], sure)
