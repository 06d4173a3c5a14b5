"""When one answer stands for too many facts: the cause of answer collapse."""

from __future__ import annotations

from collections.abc import Mapping

FEWEST = 10
"""an answer of fewer facts is never over-represented"""
SHARE = 0.05
"""nor is one with at most this share of the facts"""
TIMES_EVEN = 3.0
"""nor one with at most this many times its even share, where answers are few"""
MAJORITY = 0.5
"""but more than this share always is"""


def largest_fair_count(facts: int, distinct: int) -> int:
    """How many facts may have the same answer before it counts as over-represented.

    An adapter trained on facts of which one answer is common learns to give that answer to
    everything (arXiv 2502.14502, section 6: answer explosion). The paper names no limit for the
    training data; this one asks for a share above ``max(5 %, 3 / distinct)``, never needs more
    than one half, and at least 10 facts.

    Args:
        facts: all facts.
        distinct: the different answers among them.

    Returns:
        The largest number of facts that is still fair.
    """
    share = max(SHARE, min(TIMES_EVEN / max(distinct, 1), MAJORITY))
    # Shares such as 0.05 are not exact in binary; a count right on the limit is fair.
    return max(FEWEST - 1, int(share * facts + 1e-9))


def over_represented(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The answers that stand for too many facts, the most frequent first.

    Args:
        counts: facts for each different answer.

    Returns:
        ``(answer, facts)`` of those above `largest_fair_count`.
    """
    fair = largest_fair_count(sum(counts.values()), len(counts))
    return sorted(
        ((answer, count) for answer, count in counts.items() if count > fair),
        key=lambda item: (-item[1], item[0]),
    )
