"""From two probes to the figures: one pass over the answers, arrays for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lorepack.auditing import breakdowns, paper_mode
from lorepack.auditing.answers import TOP, AnswerCounts, compare, usual
from lorepack.auditing.causes import Evidence
from lorepack.auditing.domains import Domains
from lorepack.auditing.pair import Pair
from lorepack.auditing.reliability import reliability
from lorepack.auditing.settings import AuditSettings
from lorepack.auditing.shifts import both, transitions
from lorepack.auditing.stored import greedy
from lorepack.probing import CATEGORIES
from lorepack.probing.categories import count
from lorepack.text import Matcher, answer_of

CAUSES = "causes.parquet"


def document(pair: Pair, settings: AuditSettings, out: Path) -> dict[str, Any]:
    """``audit.json`` but for what needs the model again; writes ``out/causes.parquet``."""
    trained, after = pair.trained, pair.after.tally
    matrices = {
        name: transitions(pair.codes_before[rows], pair.codes_after[rows])
        for name, rows in (
            ("all", np.ones(len(pair.facts), bool)),
            ("trained", trained),
            ("rehearsed", pair.rehearsed),
            ("untrained", pair.untrained),
        )
    }
    found = {
        "schema": 1,
        "facts": len(pair.facts),
        "trained": int(trained.sum()),
        "rehearsed": int(pair.rehearsed.sum()),
        "reliability": reliability(
            after.k_greedy[trained], after.n_greedy[trained], **settings.bootstrap
        ),
        "categories": {"before": count(pair.codes_before), "after": count(pair.codes_after)},
        "transitions": {name: matrix.tolist() for name, matrix in matrices.items()},
        "shifts": {name: both(matrix, **settings.bootstrap) for name, matrix in matrices.items()},
        "refusals": _refusals(pair),
        "controls": _controls(pair),
        "by_relation": breakdowns.by_relation(pair, **settings.bootstrap),
        "by_popularity": breakdowns.by_popularity(pair, **settings.bootstrap),
        "by_frequency": breakdowns.by_frequency(pair, **settings.bootstrap),
        **_from_texts(pair, settings, out),
    }
    if settings.paper:
        found["paper"] = paper_mode.analyse(_as_published(pair, settings.domains or Domains()))
    return found


def _refusals(pair: Pair) -> dict[str, int]:
    asked, was = pair.after.tally.n_greedy, pair.before.tally.refused[pair.rows]
    now = pair.after.tally.refused
    return {
        "before": int(was.sum()),
        "after": int(now.sum()),
        "answers": int(asked.sum()),
        "facts_before": int((2 * was > asked).sum()),
        "facts_after": int((2 * now > asked).sum()),
    }


def _controls(pair: Pair) -> dict[str, Any] | None:
    """What was known by luck, before and after; None where no control questions were asked."""
    if pair.before.controls is None or pair.after.controls is None:
        return None
    return {"before": pair.before.controls, "after": pair.after.controls}


def _from_texts(pair: Pair, settings: AuditSettings, out: Path) -> dict[str, Any]:
    """What needs the texts, in one pass over them, and another where an answer took over."""
    lexicon = pair.after.settings.lexicon
    before, after = AnswerCounts(lexicon=lexicon), AnswerCounts(lexicon=lexicon)
    domains = settings.domains or Domains()
    evidence = Evidence.of(pair, domains)
    worst = _worst(pair, settings.worst)
    losses: dict[str, dict[str, Any]] = {}
    for place, (fact, was, now) in enumerate(pair.answers()):
        match = Matcher(fact.accepted, pair.after.settings.rule)
        before.add(match, was)
        after.add(match, now)
        evidence.see(place, was, now)
        if fact.id in worst:
            losses[fact.id] = {
                "id": fact.id,
                "question": fact.question,
                "answer": fact.answer,
                "before": CATEGORIES[pair.codes_before[place]],
                "after": CATEGORIES[pair.codes_after[place]],
                "answer_before": usual(was),
                "answer_after": usual(now),
            }
    prompts = int(pair.after.tally.n_greedy.max())
    explosion = _explosion(pair, before, after, prompts, settings, evidence)
    evidence.write(out / CAUSES)
    return {
        "answers": compare(before, after, len(pair.facts), prompts, settings.collapse),
        "losses": [losses[fact_id] for fact_id in worst],
        "causes": evidence.document(explosion, domains.found_in(pair.facts)),
    }


def _explosion(
    pair: Pair,
    before: AnswerCounts,
    after: AnswerCounts,
    prompts: int,
    settings: AuditSettings,
    evidence: Evidence,
) -> dict[str, Any]:
    """Which answers took over; marks whose answers they are."""
    test, total = settings.collapse, prompts * len(pair.facts)
    over = dict(test.exploded(before, after, prompts, total))
    if over:
        for place, (_, texts) in enumerate(greedy(pair.after.out, "lorepack audit")):
            evidence.holds["explosion"][place] = any(
                text is not None and answer_of(text) in over for text in texts
            )
    return {
        "rule": test.rule(),
        "threshold": test.threshold(before, prompts, total),
        "answers": [[text, n, before.all[text]] for text, n in list(over.items())[:TOP]],
    }


def _as_published(pair: Pair, domains: Domains) -> Iterator[paper_mode.Row]:
    for place, (fact, was, now) in enumerate(pair.answers()):
        yield paper_mode.Row(
            accepted=fact.accepted,
            before=[text or "" for text in was],
            after=[text or "" for text in now],
            domain=domains.of(fact),
            target=bool(pair.trained[place]),
        )


def _worst(pair: Pair, size: int) -> dict[str, None]:
    """Ids of the facts that fell, the trained ones aside, in order: the longest fall from the best
    category first, then by correct answers lost, then by id."""
    fall = pair.codes_after.astype(int) - pair.codes_before
    k_before = pair.before.tally.k_greedy[pair.rows]
    lost = k_before - pair.after.tally.k_greedy
    fell = np.flatnonzero((fall > 0) & ~pair.trained).tolist()
    fell.sort(key=lambda i: (-fall[i], pair.codes_before[i], -lost[i], pair.facts[i].id))
    return dict.fromkeys(pair.facts[i].id for i in fell[:size])
