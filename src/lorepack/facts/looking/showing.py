"""Facts of a file by what they hold, or by their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lorepack.errors import InputError, NotFoundError, suggest
from lorepack.facts.fact import COLUMNS, Fact
from lorepack.facts.reading import numbered
from lorepack.facts.sources import open_source


def select(
    path: Path | str, where: Mapping[str, str], notes: list[str] | None = None
) -> Iterator[tuple[int, Fact]]:
    """Stream ``(line, fact)`` of the facts whose fields have these values.

    Args:
        path: see `lorepack.facts.read`.
        where: field to value; one of a list's values is enough, numbers are compared as numbers,
            and an empty value stands for none.
        notes: where to say which fields were left out.

    Raises:
        NotFoundError: there is no such file.
        InputError: no fact has such a field; or a bad row, as ``file:line: …``.
    """
    tests = [_test(name, value) for name, value in where.items()]
    rows = numbered(open_source(path), notes)
    return (row for row in rows if all(test(row[1]) for test in tests))


def _test(name: str, value: str) -> Callable[[Fact], bool]:
    if name not in COLUMNS:
        raise InputError(f"no field {name!r}{suggest(name, COLUMNS)}")
    if name == "popularity" and value:
        try:
            number = float(value)
        except ValueError:
            raise InputError(f"popularity {value!r}: expected a number") from None
        return lambda fact: fact.popularity == number

    def holds(fact: Fact) -> bool:
        found = getattr(fact, name)
        if not value:
            return found is None or found == ()
        return value in found if isinstance(found, tuple) else found == value

    return holds


def by_ids(
    path: Path | str, ids: Sequence[str], notes: list[str] | None = None
) -> list[tuple[int, Fact]]:
    """``(line, fact)`` of the facts with these ids, in the order of the ids; the first of each.

    Args:
        path: see `lorepack.facts.read`; read no further than to the last of them.
        ids: as files hold them, or as `Fact` derives them.
        notes: where to say which fields were left out.

    Raises:
        NotFoundError: there is no such file, or no fact with one of the ids.
        InputError: a bad row, as ``file:line: …``.
    """
    wanted, found = set(ids), {}
    for line, fact in numbered(open_source(path), notes):
        if fact.id in wanted:
            found[fact.id] = (line, fact)
            wanted.discard(fact.id)
            if not wanted:
                break
    if wanted:
        missing = next(ident for ident in ids if ident in wanted)
        raise NotFoundError(f"{path}: no fact with id {missing!r}")
    return [found[ident] for ident in dict.fromkeys(ids)]
