"""What facts are drawn or parted by, in numbers: one per row of a file."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from lorepack.errors import InputError
from lorepack.facts.looking.popularity import bands

Groups = np.ndarray[Any, np.dtype[np.int64]]


class Names:
    """Names as numbers, in the order of their first occurrence."""

    def __init__(self) -> None:
        self._numbers: dict[str | None, int] = {}
        self._rows = array("q")

    def add(self, name: str | None) -> None:
        """The name of the next row."""
        self._rows.append(self._numbers.setdefault(name, len(self._numbers)))

    def groups(self) -> tuple[Groups, list[str | None]]:
        """The number of every row, and the names that the numbers stand for."""
        return np.frombuffer(self._rows, np.int64), list(self._numbers)


class Values:
    """The popularity of every row; a row without one stops."""

    def __init__(self, path: object) -> None:
        self._path = path
        self._rows = array("d")

    def add(self, line: int, value: float | None) -> None:
        """The popularity of the next row.

        Raises:
            InputError: it is missing or below 0.
        """
        if value is None:
            raise InputError(
                f"{self._path}:{line}: no popularity; by popularity needs one of every fact"
            )
        if value < 0:
            raise InputError(
                f"{self._path}:{line}: popularity {value:g}; head and tail need 0 or above"
            )
        self._rows.append(value)

    def array(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """All values.

        Raises:
            InputError: all are 0.
        """
        values = np.frombuffer(self._rows, np.float64)
        if len(values) and not values.any():
            raise InputError(f"{self._path}: popularity is 0 everywhere; nothing is head or tail")
        return values

    def bands(self) -> Groups:
        """Head, torso or tail (0, 1, 2) of every row."""
        return bands(self.array())
