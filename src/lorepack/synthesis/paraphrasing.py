"""Whether another wording of a question still asks for the same: its names and numbers stay."""

from __future__ import annotations

from lorepack.synthesis.words import holds_name, told


def keeps_names(question: str, wording: str) -> str | None:
    """What a wording lost or brought in.

    Args:
        question: as it was.
        wording: the same in other words.

    Returns:
        ``lost: …`` or ``new: …`` with the names or numbers; None when all were kept. Names are
        told by capital letters, so that a script without them is checked for numbers alone.
    """
    before, after = told(question), told(wording)
    lost = [name for name in before.names if not holds_name(after, before, name)]
    lost += before.numbers - after.all_numbers
    if lost:
        return "lost: " + ", ".join(sorted(lost))
    new = [name for name in after.names if not holds_name(before, after, name)]
    new += after.numbers - before.all_numbers
    return "new: " + ", ".join(sorted(new)) if new else None
