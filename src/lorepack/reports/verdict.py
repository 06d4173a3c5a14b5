"""The answer on top: one sentence, a status and the cautions, worded from the numbers alone.

In the sentence ``**`` stands around what matters most, so that the page can print it strong, the
card can use it as it is and the terminal can drop it.
"""

from __future__ import annotations

from dataclasses import dataclass

from lorepack.reports import budget_file
from lorepack.reports import figures as fig
from lorepack.reports.audit_file import Answers, Audit, Generality, Reliability
from lorepack.reports.budget_file import Budget

LEARNED = 0.9
"""reliability under which the facts do not count as learned"""
GENERAL = 0.2
"""how far generality may lie under reliability before the page says so"""
FORGETTING = 0.05
"""share of the facts not in the mix that may get worse before the page says so"""
DRIFT = 0.1
"""nats a token that the model may drift on neutral text before the page says so"""


@dataclass(frozen=True)
class Caution:
    """One thing that went wrong: a name of one or two words, and a sentence with its numbers."""

    name: str
    text: str


@dataclass(frozen=True)
class Verdict:
    """What a run comes to."""

    sentence: str
    """one sentence, ``**`` around what matters most"""
    status: str
    """``good``, ``mixed`` or ``bad``"""
    label: str
    """the status in words"""
    cautions: tuple[Caution, ...]

    @property
    def plain(self) -> str:
        """The sentence without marks."""
        return self.sentence.replace("**", "")


def verdict(audit: Audit, budget: Budget | None = None) -> Verdict:
    """Say in one sentence what was learned and what it cost.

    Args:
        audit: the figures of one run.
        budget: the limits on its harm, and whether they were held; None where there were none.

    Returns:
        Sentence, status and cautions; every number in them is one of the audit's.
    """
    cautions = (*_over_budget(budget), *_cautions(audit))
    names = {caution.name for caution in cautions}
    bad = names & {"Answer collapse", "Not learned", "Nothing trained"}
    status = "bad" if bad else "mixed" if names or not audit.others else "good"
    sentence = f"{_learned(audit)}; {_cost(audit)}{_collapse(audit)}."
    label = " · ".join(caution.name for caution in cautions[:3])
    label = label or ("Learned at little cost" if audit.others else "Learned, cost not measured")
    return Verdict(sentence, status, label, cautions)


def _learned(audit: Audit) -> str:
    reliability = audit.reliability
    if audit.trained == 0:
        return "**No fact was trained**"
    head = f"**{fig.facts(audit.trained, _kind(audit))} trained**"
    if reliability is None or reliability.mean is None:
        return f"{head}; whether they are answered right was not measured"
    some = f" of the {fig.count(reliability.facts)} asked" if _sampled(audit) else ""
    only = "only " if reliability.mean < LEARNED else ""
    bounds = fig.interval(reliability.low, reliability.high)
    bounds = f" (95{fig.SPACE}% interval {bounds})" if bounds else ""
    answered = f"{only}**{fig.percent(reliability.mean)}**{some} answered right afterwards{bounds}"
    return f"{head}: {answered}, {_general(audit.generality)}"


def _kind(audit: Audit) -> str:
    """``Unknown`` when every trained fact was; nothing when the word would be too strong."""
    return "Unknown" if audit.trained_unknown == audit.trained else ""


def _sampled(audit: Audit) -> bool:
    return audit.reliability is not None and audit.reliability.facts != audit.trained


def _general(generality: Generality | None) -> str:
    if generality is None or generality.mean is None:
        return "unseen wordings not measured"
    return f"**{fig.percent(generality.mean)}** through wordings it never saw"


def _cost(audit: Audit) -> str:
    shifts, others = audit.shifts.untrained, audit.others
    neutral = audit.neutral
    if neutral is None:
        drift = "KL to the base not measured"
    else:
        drift = f"KL to the base {fig.real(neutral.kl)} nats a token"
    if not others:
        return f"cost: every fact was in the mix, so no spill-over was measured; {drift}"
    worse = fig.percent(fig.ratio(shifts.negative.count, others))
    better = fig.percent(fig.ratio(shifts.positive.count, others))
    which = fig.facts(others) + (" not in the mix" if audit.trained else "")
    return f"cost: **{worse}** of the {which} got worse, {better} better; {drift}"


def _collapse(audit: Audit) -> str:
    answers = audit.answers
    if answers is None or not answers.collapsed:
        return ""
    return (
        f"; **its answers collapsed**: {fig.count(answers.distinct_after)} distinct answers "
        f"where the base gave {fig.count(answers.distinct_before)}"
    )


def _over_budget(budget: Budget | None) -> tuple[Caution, ...]:
    if budget is None or budget.held:
        return ()
    return (Caution("Budget not held", budget_file.outcome(budget)),)


def _cautions(audit: Audit) -> list[Caution]:
    found = [
        _nothing_trained(audit),
        _collapsed(audit.answers),
        _not_learned(audit.reliability) if audit.trained else None,
        _forgetting(audit),
        _drift(audit),
        _by_wording(audit.reliability, audit.generality),
    ]
    return [caution for caution in found if caution]


def _nothing_trained(audit: Audit) -> Caution | None:
    if audit.trained:
        return None
    return Caution(
        "Nothing trained",
        f"None of the {fig.facts(audit.facts)} was trained, so nothing can have been learned; "
        "every change below is a side effect or noise.",
    )


def _collapsed(answers: Answers | None) -> Caution | None:
    if answers is None or not answers.collapsed:
        return None
    text = (
        f"Distinct answers went from {fig.count(answers.distinct_before)} to "
        f"{fig.count(answers.distinct_after)}, of {fig.count(answers.total)} answers each time"
    )
    if answers.collapsed_answers:
        answer, after, before = answers.collapsed_answers[0]
        text += (
            f"; “{fig.short(answer, 60)}” is now a wrong answer {fig.count(after)} times, "
            f"{fig.count(before)} before"
        )
    if answers.threshold is not None:
        text += f"; collapse is called above {fig.count(answers.threshold)} times"
    return Caution("Answer collapse", text + ".")


def _not_learned(reliability: Reliability | None) -> Caution | None:
    if reliability is None or reliability.mean is None:
        return Caution("Not measured", "The trained facts were not asked, so nothing is proven.")
    if reliability.mean >= LEARNED:
        return None
    return Caution(
        "Not learned",
        f"{fig.percent(reliability.mean)} of the trained facts are answered right, under the "
        f"{fig.percent(LEARNED)} at which facts count as learned here. More epochs, a higher "
        "rank or fewer facts may help.",
    )


def _forgetting(audit: Audit) -> Caution | None:
    negative, others = audit.shifts.untrained.negative, audit.others
    if not others or negative.count / others <= FORGETTING:
        return None
    share = fig.percent(negative.count / others)
    text = f"{fig.count(negative.count)} of {fig.facts(others)} not in the mix ({share}) got worse"
    if negative.of_movable is not None:
        text += f", {fig.percent(negative.of_movable)} of those that could"
    return Caution("Forgetting", f"{text}; this page warns above {fig.percent(FORGETTING)}.")


def _drift(audit: Audit) -> Caution | None:
    if audit.neutral is None or audit.neutral.kl <= DRIFT:
        return None
    return Caution(
        "Drift",
        f"On neutral text the model lies {fig.real(audit.neutral.kl)} nats a token from its "
        f"base; this page warns above {DRIFT:g}.",
    )


def _by_wording(reliability: Reliability | None, generality: Generality | None) -> Caution | None:
    if reliability is None or generality is None:
        return None
    if reliability.mean is None or generality.mean is None:
        return None
    if generality.mean >= reliability.mean - GENERAL:
        return None
    return Caution(
        "Learned by wording",
        f"{fig.percent(generality.mean)} through unseen wordings against "
        f"{fig.percent(reliability.mean)} through the trained one: the facts are tied to their "
        "questions. Paraphrases in the mix may help.",
    )
