"""Further wordings of questions, each checked: it asks the same and does not tell the answer."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from itertools import islice
from pathlib import Path
from typing import IO, Any

from lorepack import facts as facts_room
from lorepack import files
from lorepack.errors import InputError
from lorepack.facts import Fact
from lorepack.facts.sources import format_of
from lorepack.synthesis.asking import asks, gives_away
from lorepack.synthesis.cache import Cache
from lorepack.synthesis.desk import FORMAT, Desk, Progress, Tally, Turn
from lorepack.synthesis.paraphrasing import keeps_names
from lorepack.synthesis.prompts import Prompts
from lorepack.synthesis.replies import MALFORMED, SHOWN
from lorepack.synthesis.settings import ParaphraseSettings
from lorepack.synthesis.writers import RULES, Task, Writer, writer_named
from lorepack.text import is_refusal, normalise

PROMPT = "paraphrase"
_A_CALL = 20
"""most wordings of one reply"""


@dataclass(frozen=True)
class ParaphraseReport:
    """What paraphrasing asked, kept and rejected."""

    facts: int
    wordings: int
    """new ones"""
    existing: int
    """that the facts had before"""
    short: int
    """facts with fewer than asked for"""
    rejected: dict[str, int]
    """by reason"""
    asked: int
    """requests whose replies were used, whenever they were asked"""
    replies: int
    """of those, with a valid format"""
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    """in US dollars"""
    failed: int
    """requests without a reply; the same command asks for them again"""
    requests: int
    """that the writer was asked in this run"""
    cached: int
    """that the cache answered in this run"""
    seconds: float
    out: Path
    rejected_out: Path

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        row = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: str(v) if isinstance(v, Path) else v for k, v in row.items()}


def paraphrase(
    facts: Iterable[Fact],
    out: Path | str,
    n: int = 10,
    writer: Writer | None = None,
    *,
    settings: ParaphraseSettings | None = None,
    prompts: Prompts | None = None,
    cache: Path | str | None = None,
    rejected: Path | str | None = None,
    progress: Progress | None = None,
) -> ParaphraseReport:
    """Give every fact up to ``n`` other wordings of its question, streaming.

    Args:
        facts: in their order; wordings that they have are kept, come first, and count.
        out: the same facts with more wordings: ``.jsonl``, ``.csv`` or ``.parquet``.
        n: wordings of each question.
        writer: who writes; None takes the rules, which need no model.
        settings: how is asked.
        prompts: the wordings of what is asked; None takes those that are shipped.
        cache: file of replies; None takes ``OUT.replies.sqlite`` beside ``out``.
        rejected: where wordings go that are turned away, each with its reason; None takes
            ``OUT.rejected.jsonl`` beside ``out``.
        progress: called as ``progress(stage, done, total)``.

    Returns:
        Counts; see `ParaphraseReport`.

    Raises:
        InputError: a bad fact or prompt, or no such format of ``out``.
        WriteError: no space, no permission; replies that came before are kept.
        LorepackError: the writer gives no further reply; those that came are kept.
    """
    if n < 1:
        raise InputError(f"n={n}: expected at least 1 wording")
    out, settings, start = Path(out), settings or ParaphraseSettings(), time.monotonic()
    format_of(out)  # before anybody is asked
    aside = Path(rejected) if rejected else out.with_name(f"{out.stem}.rejected.jsonl")
    with (
        Cache(cache or out.with_name(f"{out.stem}.replies.sqlite")) as replies,
        files.open_lines(aside) as handle,
    ):
        desk = Desk(
            writer or writer_named(RULES),
            prompts or Prompts(),
            replies,
            attempts=settings.attempts,
            temperature=settings.temperature,
            seed=settings.seed,
            max_tokens=settings.max_tokens,
            progress=progress,
        )
        job = _Paraphrasing(desk, n, settings, handle, progress or (lambda s, d, t: None))
        facts_room.write(out, job.facts(facts))
    told = job.tally.to_json()
    return ParaphraseReport(
        facts=job.counts["facts"],
        wordings=told.pop("kept"),
        existing=job.counts["existing"],
        short=job.counts["short"],
        failed=desk.failed,
        requests=desk.misses,
        cached=desk.hits,
        seconds=round(time.monotonic() - start, 3),
        out=out,
        rejected_out=aside,
        **told,
    )


@dataclass
class _Wordings:
    """The wordings of one fact, while they are gathered."""

    fact: Fact
    kept: list[str] = field(default_factory=list)
    """those that it had, then new ones"""
    forms: set[str] = field(default_factory=set)
    tally: Tally = field(default_factory=Tally)
    rows: list[dict[str, Any]] = field(default_factory=list)
    """what was turned away"""
    refused: list[str] = field(default_factory=list)
    """its wordings, so that they are not written again"""
    open: bool = True
    """whether asking for more may bring more"""

    def __post_init__(self) -> None:
        self.kept = list(self.fact.paraphrases)
        self.forms = {normalise(text) for text in (self.fact.question, *self.kept)}

    def take(self, turn: Turn, n: int) -> None:
        """Judge what a reply brought."""
        before = len(self.kept)
        if turn.value is None:
            row = {"reason": turn.reason, "detail": turn.detail}
            self._reject(row | ({"text": turn.text[:SHOWN]} if turn.text else {}))
        for part in turn.value.dropped if turn.value is not None else ():
            self._reject({"reason": FORMAT, "detail": MALFORMED, "text": part})
        for wording in turn.value.items if turn.value is not None else ():
            wording = " ".join(wording.split())
            fault = ("surplus", "") if len(self.kept) >= n else self._fault(wording)
            if fault is None:
                self.kept.append(wording)
                self.forms.add(normalise(wording))
            else:
                row = {"reason": fault[0], "wording": wording}
                self.refused.append(wording)
                self._reject(row | ({"detail": fault[1]} if fault[1] else {}))
        self.tally.kept += len(self.kept) - before
        self.open = len(self.kept) > before

    def _fault(self, wording: str) -> tuple[str, str] | None:
        """Why a wording is turned away: the reason, and what was found."""
        fact, form = self.fact, normalise(wording)
        if not form:
            return "empty", ""
        if is_refusal(wording):
            return "refusal", ""
        if form in self.forms:
            return "duplicate", ""
        if len(wording.split()) > 3 * len(fact.question.split()) + 20:
            return "too_long", f"{len(wording.split())} words"
        if not asks(wording):
            return "not_a_question", "it neither asks nor demands"
        for answer in fact.accepted:
            if gives_away(wording, answer) and not gives_away(fact.question, answer):
                return "answer_in_question", answer
        changed = keeps_names(fact.question, wording)
        return ("names", changed) if changed else None

    def _reject(self, row: dict[str, Any]) -> None:
        self.tally.rejected[row["reason"]] += 1
        self.rows.append({"fact": self.fact.id, "question": self.fact.question, **row})


@dataclass
class _Paraphrasing:
    """All facts on their way."""

    desk: Desk
    n: int
    settings: ParaphraseSettings
    aside: IO[str]
    progress: Progress
    tally: Tally = field(default_factory=Tally)
    counts: Counter[str] = field(default_factory=Counter)

    def facts(self, facts: Iterable[Fact]) -> Iterator[Fact]:
        """The facts with their wordings, in their order."""
        stream = islice(facts, self.settings.limit)
        while part := [_Wordings(fact) for fact in islice(stream, self.settings.window)]:
            self._gather(part)
            for one in part:
                self._count(one)
                yield dataclasses.replace(one.fact, paraphrases=tuple(one.kept))
            self.progress("facts", self.counts["facts"], self.counts["facts"] + 1)
        self.progress("facts", self.counts["facts"], self.counts["facts"])

    def _gather(self, part: list[_Wordings]) -> None:
        """Ask for what is lacking, and again for what is lacking then."""
        for _ in range(-(-self.n // _A_CALL) + self.settings.rounds):
            lacking = [one for one in part if one.open and len(one.kept) < self.n]
            turns = [self._turn(one) for one in lacking]
            self.desk.settle(turns)
            for one, turn in zip(lacking, turns, strict=True):
                one.take(turn, self.n)

    def _turn(self, one: _Wordings) -> Turn:
        known = dict.fromkeys([*one.kept, *one.refused])
        fact = dataclasses.replace(one.fact, paraphrases=tuple(known))
        wanted = min(self.n - len(one.kept), _A_CALL)
        return self.desk.turn(Task(PROMPT, wanted, facts=(fact,)), one.tally)

    def _count(self, one: _Wordings) -> None:
        self.counts["facts"] += 1
        self.counts["existing"] += len(one.fact.paraphrases)
        self.counts["short"] += len(one.kept) < self.n
        self.tally.add(one.tally)
        for row in one.rows:
            self.aside.write(json.dumps(row, ensure_ascii=False) + "\n")
