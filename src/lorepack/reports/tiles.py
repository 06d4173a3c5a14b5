"""The key figures under the sentence: a name, a number, and what it is of."""

from __future__ import annotations

from dataclasses import dataclass

from lorepack.reports import figures as fig
from lorepack.reports.audit_file import Audit


@dataclass(frozen=True)
class Tile:
    """One key figure."""

    name: str
    figure: str
    of: str
    """the denominator, in words"""


def tiles(audit: Audit) -> tuple[Tile, ...]:
    """The six figures a reader looks for first, each with its denominator."""
    return (*_learned(audit), *_spill_over(audit), _refusals(audit), _drift(audit))


def _learned(audit: Audit) -> tuple[Tile, Tile]:
    rel, gen = audit.reliability, audit.generality
    reliability = Tile("Reliability", fig.NOT_MEASURED, "no trained facts were asked")
    if rel is not None and rel.mean is not None:
        asked = f"{fig.facts(rel.facts, 'trained')} × {fig.count(rel.prompts)} prompts"
        reliability = Tile("Reliability", fig.percent(rel.mean), asked)
    generality = Tile("Generality", fig.NOT_MEASURED, "no unseen wordings")
    if gen is not None and gen.mean is not None:
        asked = f"{fig.facts(gen.facts)}, {fig.count(gen.wordings)} unseen wordings"
        generality = Tile("Generality", fig.percent(gen.mean), asked)
    return reliability, generality


def _spill_over(audit: Audit) -> tuple[Tile, Tile]:
    both, others = audit.shifts.untrained, audit.others
    worse, better = (
        Tile(
            f"Spill-over: {word}",
            fig.percent(fig.ratio(shift.count, others)),
            f"{fig.count(shift.count)} of {fig.facts(others)} not in the mix"
            if others
            else "every fact was in the mix",
        )
        for word, shift in (("worse", both.negative), ("better", both.positive))
    )
    return worse, better


def _refusals(audit: Audit) -> Tile:
    refusals = audit.refusals
    if refusals is None:
        return Tile("Refusals", fig.NOT_MEASURED, "")
    change = f"{fig.count(refusals.before)} → {fig.count(refusals.after)}"
    return Tile("Refusals", change, f"of {fig.count(refusals.answers)} answers")


def _drift(audit: Audit) -> Tile:
    neutral = audit.neutral
    if neutral is None:
        return Tile("Neutral KL", fig.NOT_MEASURED, "no neutral text")
    before, after = fig.real(neutral.perplexity_before), fig.real(neutral.perplexity_after)
    of = f"nats a token, {fig.count(neutral.tokens)} tokens; perplexity {before} → {after}"
    return Tile("Neutral KL", fig.real(neutral.kl), of)
