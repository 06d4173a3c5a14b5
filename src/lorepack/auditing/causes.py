"""Why did facts shift that were not in the mix? Every cause that fits, and its rate by chance.

A cause is a condition that can be asked of every fact, shifted or not, so that chance can be told
apart from it (`chance`). A fact may have several causes, or none: it is unexplained then. The
published analysis (arXiv 2502.14502; `paper_mode`) looks at one answer of ten, lets the last
cause overwrite the others and counts the trained facts too.

    refusal_gone  most answers refused before, not after (positive shifts only)
    refusal_come  most answers refuse after, and did not before (negative shifts only)
    explosion     an answer after is one that took over (`answers.CollapseTest`)
    target        an answer after holds an answer of a trained fact, under the matching rule
    domain        its domain is one of those of the trained facts
    relation      its relation is one of those of the trained facts
    subject       its subject is that of a trained fact, or shares a rare token with one
    format        the form of the answers changed (`forms.RULE`)

A domain, relation or subject that holds for nearly all facts outside of the mix (every relation
was trained, say) tells none of them apart: it is counted, marked ``common``, and explains nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lorepack.auditing.answers import usual
from lorepack.auditing.chance import by_luck
from lorepack.auditing.domains import Domains
from lorepack.auditing.forms import Forms
from lorepack.auditing.pair import Pair
from lorepack.auditing.phrases import Phrases
from lorepack.auditing.stored import Greedy
from lorepack.facts import Fact
from lorepack.probing import CATEGORIES
from lorepack.probing.store import write_table
from lorepack.text import tokens

LABELS = (
    "refusal_gone",
    "refusal_come",
    "explosion",
    "target",
    "domain",
    "relation",
    "subject",
    "format",
)
SIDES = {
    "positive": tuple(name for name in LABELS if name != "refusal_come"),
    "negative": tuple(name for name in LABELS if name != "refusal_gone"),
}
_RARE = 100  # a token of a subject tells something when at most one fact in so many has it
_ABOUT = ("domain", "relation", "subject")  # what is asked of a fact, and not of its answers
_MANY = 20  # facts below which nothing can be called common
_COMMON = 0.9  # share of the facts above which these tell nothing
_FEW = 3  # … or no more than these
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("direction", pa.string()),
        ("before", pa.string()),
        ("after", pa.string()),
        ("causes", pa.list_(pa.string())),
        ("answer_before", pa.string()),
        ("answer_after", pa.string()),
    ]
)
Flags = NDArray[np.bool_]


@dataclass
class Evidence:
    """Which condition holds for which fact, filled while the answers go by."""

    pair: Pair
    told: Phrases
    """what the trained facts accept as answers"""
    forms: Forms
    holds: dict[str, Flags]
    """label -> ``(facts,)``"""
    shown: dict[int, tuple[str | None, str | None]]
    """place of a shifted fact -> its usual answers before and after"""

    @classmethod
    def of(cls, pair: Pair, domains: Domains) -> Evidence:
        """What can be told without the answers."""
        trained = [fact for fact in pair.facts if fact.id in pair.trained_ids]
        accepted = (text for fact in trained for text in fact.accepted)
        asked = pair.after.tally.n_greedy
        was = 2 * pair.before.tally.refused[pair.rows] > asked
        now = 2 * pair.after.tally.refused > asked
        none = np.zeros(len(pair.facts), bool)
        settings = pair.after.settings
        return cls(
            pair=pair,
            told=Phrases(accepted, settings.rule),
            forms=Forms(settings.max_new_tokens, pair.tokens, settings.lexicon),
            holds={
                "refusal_gone": was & ~now,
                "refusal_come": now & ~was,
                "explosion": none.copy(),
                "target": none.copy(),
                "domain": _shared([domains.of(fact) for fact in pair.facts], pair.trained),
                "relation": _shared([fact.relation for fact in pair.facts], pair.trained),
                "subject": subjects(pair.facts, pair.trained),
                "format": none.copy(),
            },
            shown=dict.fromkeys(np.flatnonzero(pair.shifted).tolist(), (None, None)),
        )

    def see(self, place: int, before: Greedy, after: Greedy) -> None:
        """Take in the answers to one fact."""
        within = self.told.within
        self.holds["target"][place] = any(within(text) for text in after if text is not None)
        self.holds["format"][place] = self.forms.changed(before, after)
        if place in self.shown:
            self.shown[place] = usual(before), usual(after)

    def document(self, explosion: dict[str, Any], domains: str) -> dict[str, Any]:
        """The ``causes`` part of ``audit.json``."""
        sides = {name: self._side(name) for name in SIDES}
        return {"domains": domains, "explosion": explosion, **sides}

    def _side(self, side: str) -> dict[str, Any]:
        rows = self.pair.untrained
        shifted = self.pair.moved(side)[rows]
        strata = self.pair.codes_before[rows]
        held = {label: self.holds[label][rows] for label in SIDES[side]}
        telling = [flags for label, flags in held.items() if not self.common(label)]
        explained = int((np.any(telling, axis=0) & shifted).sum()) if telling else 0
        return {
            "shifts": int(shifted.sum()),
            "explained": explained,
            "unexplained": int(shifted.sum()) - explained,
            "labels": {
                label: {
                    **by_luck(flags, shifted, strata).to_json(),
                    "common": self.common(label),
                }
                for label, flags in held.items()
            },
        }

    def common(self, label: str) -> bool:
        """Whether a condition is of no use, since it holds for nearly all facts."""
        flags = self.holds[label][self.pair.untrained]
        return label in _ABOUT and flags.size >= _MANY and bool(flags.mean() > _COMMON)

    def write(self, path: Path) -> None:
        """Write ``causes.parquet``: one row a shifted fact that was not in the mix."""
        pair, rows = self.pair, []
        telling = {
            side: [label for label in labels if not self.common(label)]
            for side, labels in SIDES.items()
        }
        for place, (was, now) in self.shown.items():
            codes = pair.codes_before[place], pair.codes_after[place]
            side = "positive" if codes[1] < codes[0] else "negative"
            causes = [label for label in telling[side] if self.holds[label][place]]
            names = [CATEGORIES[code] for code in codes]
            rows.append((pair.facts[place].id, side, *names, causes, was, now))
        columns = list(zip(*rows, strict=True)) or [()] * len(_SCHEMA)
        arrays = [
            pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)
        ]
        write_table(path, pa.Table.from_arrays(arrays, schema=_SCHEMA))


def subjects(facts: Sequence[Fact], trained: Flags) -> Flags:
    """Whose subject has to do with that of a trained fact.

    The two have the same tokens, or share one that is rare: in the subjects of at most one fact
    in 100, or of no more than 3.

    Args:
        facts: all facts.
        trained: ``(facts,)``.

    Returns:
        ``(facts,)``.
    """
    names = [tuple(tokens(fact.subject)) if fact.subject else () for fact in facts]
    learned = [names[place] for place in np.flatnonzero(trained).tolist()]
    whole = set(learned) - {()}
    parts = {token for name in whole for token in name}
    found = [parts.intersection(name) for name in names]
    often = Counter(token for shared in found for token in shared)
    most = max(_FEW, sum(map(bool, names)) // _RARE)
    return np.array(
        [
            name in whole or any(often[token] <= most for token in shared)
            for name, shared in zip(names, found, strict=True)
        ],
        bool,
    )


def _shared(values: Sequence[str | None], trained: Flags) -> Flags:
    """``(facts,)`` whose value is also that of a trained fact; None is nobody's."""
    known = {values[place] for place in np.flatnonzero(trained).tolist()} - {None}
    return np.array([value in known for value in values], bool)
