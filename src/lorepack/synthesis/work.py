"""One stretch at work: one form after the other, each a conversation whose items are judged."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lorepack.facts import Fact
from lorepack.facts.passage import Passage
from lorepack.synthesis.coverage import Coverage
from lorepack.synthesis.desk import FORMAT, Desk, Tally, Turn
from lorepack.synthesis.forms.form import Ask, Form, Talk
from lorepack.synthesis.gates import Earlier, Gates
from lorepack.synthesis.item import Item
from lorepack.synthesis.leaks import Leaks
from lorepack.synthesis.replies import MALFORMED, SHOWN
from lorepack.synthesis.settings import SynthesisSettings, tagged
from lorepack.synthesis.shelf import Shelf
from lorepack.synthesis.stretches import Stretch
from lorepack.synthesis.told import Told
from lorepack.synthesis.writers.writer import Task

SURPLUS, DUPLICATE = "surplus", "duplicate"


@dataclass
class Written:
    """What came of one form on one stretch."""

    form: Form
    tally: Tally = field(default_factory=Tally)
    items: list[Item] = field(default_factory=list)
    rejected: list[dict[str, Any]] = field(default_factory=list)

    def reject(self, item: Item, reason: str, detail: str = "") -> None:
        """Count an item out, and keep it with the reason."""
        row: dict[str, Any] = {"reason": reason, "item": item.to_json()}
        self._put(reason, row | ({"detail": detail} if detail else {}))

    def reject_reply(self, turn: Turn) -> None:
        """Count out what of a reply could not be used: all of it, or parts of its list."""
        if turn.reason is not None:
            self._reject_text(turn, turn.reason, turn.detail, turn.text)
        for part in getattr(turn.value, "dropped", ()):  # running text has no parts
            self._reject_text(turn, FORMAT, MALFORMED, part)

    def _reject_text(self, turn: Turn, reason: str, detail: str, text: str | None) -> None:
        task = turn.first.task
        row: dict[str, Any] = {
            "reason": reason,
            "detail": detail,
            "form": self.form.name,
            "prompt": task.prompt,
            "passage": task.passage and task.passage.id,
        }
        self._put(reason, row | ({"text": text[:SHOWN]} if text else {}))

    def _put(self, reason: str, row: dict[str, Any]) -> None:
        self.tally.rejected[reason] += 1
        self.rejected.append(row)


class StretchJob:
    """One form at work on one stretch; see `lorepack.synthesis.forms.form.Job`."""

    def __init__(
        self,
        form: Form,
        n: int | None,
        passages: Stretch,
        facts: Mapping[str, Sequence[Fact]],
        settings: SynthesisSettings,
        gates: Gates,
    ) -> None:
        """Args: as in `Work`; ``n`` of None is without a bound."""
        self.form, self.passages = form, passages
        self.n = n or 0
        self.rounds = settings.rounds
        self._least = settings.gates.coverage
        seed = f"lorepack/synthesis/{settings.seed}/{form.name}/{passages[0].id}"
        self.rng = random.Random(seed)
        self.written = Written(form)
        self._bounded = n is not None
        self._facts, self._gates = facts, gates
        self._earlier = Earlier()
        self._kept: dict[str, list[Item]] = {passage.id: [] for passage in passages}
        self._coverage: dict[str, Coverage] = {}
        self._told: dict[str, int] = {}

    def facts(self, passage: Passage) -> Sequence[Fact]:
        """Facts that a passage tells, where they are known."""
        return self._facts.get(passage.id, ())

    def kept(self, passage: Passage) -> Sequence[Item]:
        """Items of this form that were admitted so far."""
        return self._kept[passage.id]

    def uncovered(self, passage: Passage) -> Sequence[str]:
        """Sentences of a passage that no admitted item of this form touches."""
        coverage = self._coverage.get(passage.id)
        if coverage is None:
            coverage = self._coverage[passage.id] = Coverage(passage.text, self._least)
        told = self._told.get(passage.id, 0)
        for item in self._kept[passage.id][told:]:
            coverage.add(item)
        self._told[passage.id] = len(self._kept[passage.id])
        return coverage.uncovered()

    def admit(self, passage: Passage, drafts: Sequence[Item]) -> int:
        """Put drafts through the gates; how many were admitted. No more than ``n`` ever are."""
        before = len(self.written.items)
        for draft in drafts:
            if self._full(passage):
                self.written.reject(draft, SURPLUS)
            elif found := self._gates.rejection(draft, passage, self._earlier):
                self.written.reject(draft, found.reason, found.detail)
            else:
                self._earlier.add(draft)
                self._kept[passage.id].append(draft)
                self.written.items.append(draft)
        admitted = len(self.written.items) - before
        self.written.tally.kept += admitted
        return admitted

    def reject(self, draft: Item, reason: str, detail: str = "") -> None:
        """Count a draft out that its form has no use for."""
        self.written.reject(draft, reason, detail)

    def _full(self, passage: Passage) -> bool:
        so_far = self.written.items if self.form.per == "document" else self._kept[passage.id]
        return self._bounded and len(so_far) >= self.n


@dataclass(frozen=True)
class Order:
    """What is done with every stretch.

    Attributes:
        settings: of the synthesis.
        forms: each with its number, in the order of the output; None is without a bound.
        leaks: questions of the evaluation; None where there are none.
        told: the facts that are known.
        given: items that others wrote; None where a writer is asked.
    """

    settings: SynthesisSettings
    forms: tuple[tuple[Form, int | None], ...]
    leaks: Leaks | None
    told: Told
    given: Shelf | None = None


class Work:
    """One stretch, from its first ask to its last item.

    Attributes:
        passages: the stretch.
        tags: of questions and of answers, by passage.
        turns: what is asked at the moment.
        done: whether all forms are through.
    """

    def __init__(self, passages: Stretch, order: Order, desk: Desk) -> None:
        self.passages = passages
        settings = order.settings
        self.tags = {
            p.id: (tagged(settings.tag, p), tagged(settings.answer_tag, p)) for p in passages
        }
        self.turns: list[Turn] = []
        self.done = False
        self._order, self._desk = order, desk
        self._facts = {passage.id: order.told.by(passage) for passage in passages}
        self._written: dict[str, Written] = {}
        # What evaluates comes first, since the rest is to keep clear of it.
        self._left = sorted(order.forms, key=lambda pair: not pair[0].evaluation)
        self._talk: Talk | None = None
        self._job: StretchJob | None = None

    def advance(self) -> None:
        """Go on until something must be asked, or all is done; all turns are settled before."""
        while not self.done and all(turn.settled for turn in self.turns):
            if self._talk is None and not self._begin():
                return
            self._say([turn.value for turn in self.turns])

    def written(self) -> list[Written]:
        """What came of each form, in the order of the output."""
        return [self._written[form.name] for form, _ in self._order.forms]

    def _begin(self) -> bool:
        """Begin with the next form; False when there is none."""
        if not self._left:
            self.done = True
            return False
        form, n = self._left.pop(0)
        self._job = StretchJob(
            form, n, self.passages, self._facts, self._order.settings, self._gates(form)
        )
        self._written[form.name] = self._job.written
        given = self._order.given
        self._talk = form.write(self._job) if given is None else _handed(self._job, given)
        self._before: Counter[str] = Counter()
        self.turns = []
        self._fresh = True
        return True

    def _gates(self, form: Form) -> Gates:
        settings = self._order.settings.gates
        if form.evaluation:
            return Gates(settings, None)
        asked = [
            item.question
            for written in self._written.values()
            if written.form.evaluation
            for item in written.items
            if item.question
        ]
        leaks = self._order.leaks
        if asked:
            leaks = (leaks or Leaks((), 0.0)).with_more(asked)
        return Gates(settings, leaks)

    def _say(self, values: list[Any]) -> None:
        """Hand the conversation its replies; what it asks next are the new turns."""
        assert self._talk is not None
        assert self._job is not None
        for turn in self.turns:
            self._job.written.reject_reply(turn)
        try:
            asks = next(self._talk) if self._fresh else self._talk.send(values)
        except StopIteration:
            self._talk, self.turns = None, []
            return
        self._fresh = False
        self.turns = [self._turn(ask) for ask in asks]

    def _turn(self, ask: Ask) -> Turn:
        assert self._job is not None
        facts = tuple(self._job.facts(ask.passage))
        task = Task(ask.prompt, ask.n, ask.passage, facts, ask.values)
        return self._desk.turn(task, self._job.written.tally, self._before)


def _handed(job: StretchJob, given: Shelf) -> Talk:
    """The conversation with nobody: items that others wrote are judged as they are."""
    for passage in job.passages:
        job.admit(passage, given.take(passage.id, job.form.name))
    return
    yield


def in_order(
    stretches: Iterable[Stretch], order: Order, desk: Desk, put: Callable[[Work], None]
) -> None:
    """Work on many stretches at once; each is put out in its turn, and memory stays bounded.

    Args:
        stretches: all of them.
        order: what is done with each.
        desk: answers what they ask, that of all of them together.
        put: takes finished ones, in the order of the stretches.
    """
    window: list[Work] = []
    coming = iter(stretches)
    more = True
    while more or window:
        while more and len(window) < order.settings.window:
            stretch = next(coming, None)
            if stretch is None:
                more = False
                break
            work = Work(stretch, order, desk)
            work.advance()
            window.append(work)
        desk.answer([turn for work in window for turn in work.turns if not turn.settled])
        for work in window:
            work.advance()
        while window and window[0].done:
            put(window.pop(0))
