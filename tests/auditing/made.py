"""Probes made from answers that a test writes down, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lorepack.auditing.pair import Pair
from lorepack.facts import Fact
from lorepack.probing import Answers, ProbeResult, ProbeSettings, label
from lorepack.probing.store import merge_chunks, write_chunk
from lorepack.probing.tally import tally

Greedy = Sequence[Sequence[str | None]]


def probed(out: Path, facts: Sequence[Fact], greedy: Greedy, rule: str = "boundary") -> ProbeResult:
    """The probe of which these are the greedy answers, its table of answers on disk."""
    out.mkdir(parents=True, exist_ok=True)
    prompts = len(greedy[0])
    answers = Answers(
        [fact.id for fact in facts], [list(row) for row in greedy], [[[]] * prompts for _ in facts]
    )
    write_chunk(out / "chunk.parquet", answers, {})
    merge_chunks([out / "chunk.parquet"], out / "answers.parquet")
    settings = ProbeSettings(prompts=prompts, samples=0, rule=rule)  # type: ignore[arg-type]
    counts = tally(facts, answers, rule, 0)
    return ProbeResult(
        out=out,
        ids=answers.ids,
        codes=label(counts.k_greedy, counts.n_greedy, counts.k_sampled),
        tally=counts,
        settings=settings,
        seconds=None,
    )


def pair_of(
    out: Path,
    facts: Sequence[Fact],
    before: Greedy,
    after: Greedy,
    trained: Sequence[str] = (),
    rehearsed: Sequence[str] = (),
    rule: str = "boundary",
) -> Pair:
    """Two probes of the same facts."""
    return Pair(
        facts,
        probed(out / "before", facts, before, rule),
        probed(out / "after", facts, after, rule),
        frozenset(trained),
        frozenset(rehearsed),
        tokens=lambda text: len(text.split()),
    )
