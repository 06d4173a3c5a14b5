"""The errors a user can cause, each one line: what, where, got, expected, how to fix.

Every class also inherits the built-in that fits, so that code which catches ``ValueError`` or
``FileNotFoundError`` keeps working. The command line prints the message and exits with 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LorepackError(Exception):
    """Base of every error that the user can mend."""


class InputError(LorepackError, ValueError):
    """A value, a file's content or a combination of options that cannot be used."""


class NotFoundError(LorepackError, FileNotFoundError):
    """A file, folder or name that does not exist."""

    def __str__(self) -> str:  # OSError would print a tuple
        return str(self.args[0]) if self.args else ""


class WriteError(LorepackError, OSError):
    """A result that could not be written: no space, no permission, not a folder."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class MismatchError(LorepackError, ValueError):
    """Two things that do not belong together: an adapter and a base, a run and its settings."""


class NumericError(LorepackError, ArithmeticError):
    """NaN or infinity where a number must be finite."""


class NoMemoryError(LorepackError, MemoryError):
    """Work that does not fit in memory, cut as small as it can be."""


class Stopped(BaseException):
    """Work that ended early because it was asked to; the same call goes on from there.

    No error, and no `Exception`: like ``KeyboardInterrupt``, it is not to be caught on the way.
    """


def suggest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant.

    Args:
        name: what was given.
        known: the names that exist.

    Returns:
        ``"; did you mean X?"``, or ``"; known: a, b, c"`` when nothing is close; empty when no
        name is known.
    """
    names = sorted(known)
    if not names:
        return ""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(names)}"
