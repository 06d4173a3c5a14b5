"""What an adapter learned and what it cost."""

from lorepack.auditing.answers import AnswerCounts, CollapseTest
from lorepack.auditing.audit import audit
from lorepack.auditing.chance import Chance, by_luck
from lorepack.auditing.domains import Domains
from lorepack.auditing.drift import divergence, neutral_drift, neutral_drifts
from lorepack.auditing.reliability import Estimate, bootstrap, generality, reliability
from lorepack.auditing.result import AuditResult, Causes
from lorepack.auditing.settings import AuditSettings
from lorepack.auditing.shifts import Shift, negative, positive, transitions
from lorepack.auditing.weights import applied, weights

__all__ = [
    "AnswerCounts",
    "AuditResult",
    "AuditSettings",
    "Causes",
    "Chance",
    "CollapseTest",
    "Domains",
    "Estimate",
    "Shift",
    "applied",
    "audit",
    "bootstrap",
    "by_luck",
    "divergence",
    "generality",
    "negative",
    "neutral_drift",
    "neutral_drifts",
    "positive",
    "reliability",
    "transitions",
    "weights",
]
