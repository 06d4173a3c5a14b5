"""Which prompts are decoded together: groups with one prefix, cut into batches of like length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_WORTH = 16  # tokens that a shared prefix must have to be computed apart
_FEW = 4  # prompts below which a group joins the rest


@dataclass(frozen=True, slots=True)
class Group:
    """Prompts (by index) whose first ``prefix`` tokens are equal."""

    prefix: int
    members: tuple[int, ...]


def common_prefix(one: Sequence[int], other: Sequence[int], known: int = 0) -> int:
    """Length of the longest common prefix; the first ``known`` tokens are known to be equal."""
    limit = min(len(one), len(other))
    while known < limit and one[known] == other[known]:
        known += 1
    return known


def groups(prompts: Sequence[Sequence[int]]) -> list[Group]:
    """Gather prompts that share at least half of their tokens from the front.

    In sorted order, prompts with a common prefix are neighbours. Groups of few are joined in one,
    whose prefix is what all of its members share.
    """
    order = sorted(range(len(prompts)), key=lambda i: (prompts[i], i))
    found: list[Group] = []
    current: list[int] = []
    shared = 0
    for i in order:
        length = _shared(prompts, current, shared, i)
        if current and 2 * length < len(prompts[i]):
            found.append(Group(shared, tuple(current)))
            current, length = [], 0
        shared = length if current else len(prompts[i]) - 1
        current.append(i)
    found.append(Group(shared, tuple(current)))
    return _join_few(prompts, found)


def _shared(prompts: Sequence[Sequence[int]], current: list[int], shared: int, i: int) -> int:
    """Length of the prefix of ``current`` and prompt ``i``; the last token is never shared."""
    if not current:
        return 0
    first, prompt = prompts[current[0]], prompts[i]
    shared = min(shared, len(prompt) - 1)
    if first[:shared] == prompt[:shared]:
        return shared
    return common_prefix(first[:shared], prompt)


def _join_few(prompts: Sequence[Sequence[int]], found: list[Group]) -> list[Group]:
    kept = [g if g.prefix >= _WORTH else Group(0, g.members) for g in found]
    kept = [g for g in kept if len(g.members) >= _FEW and g.prefix]
    lonely = sorted({i for g in found for i in g.members} - {i for g in kept for i in g.members})
    if lonely:
        shared = len(prompts[lonely[0]]) - 1
        for i in lonely:
            shared = _shared(prompts, lonely[:1], shared, i)
        worth = shared >= _WORTH and len(lonely) >= _FEW
        kept.append(Group(shared if worth else 0, tuple(lonely)))
    return kept


def batches(
    members: Sequence[int], lengths: Sequence[int], tokens: int, new: int, equal: bool = False
) -> list[list[int]]:
    """Cut a group into batches, longest prompts first.

    Args:
        members: indices of prompts.
        lengths: length of every prompt, in tokens.
        tokens: most tokens in a batch, answers included.
        new: tokens that an answer may take.
        equal: whether a batch may hold prompts of one length only.

    Returns:
        Batches of indices; each holds at least one.
    """
    made: list[list[int]] = []
    width = 0
    for i in sorted(members, key=lambda i: (-lengths[i], i)):
        differs = equal and made and lengths[made[-1][0]] != lengths[i]
        if not made or differs or (len(made[-1]) + 1) * width > tokens:
            made.append([])
            width = lengths[i] + new
        made[-1].append(i)
    return made
