"""Wordings of questions by relation: ``{"relation": …, "wordings": ["… {s} …", …]}`` a line."""

from __future__ import annotations

import functools
from pathlib import Path

from lorepack.errors import InputError, NotFoundError
from lorepack.facts.rows import RowError
from lorepack.facts.sources import JsonLines

SHIPPED = Path(__file__).parents[1] / "dbpedia" / "templates.jsonl"
"""for the relations of DBpedia's ontology"""


def wordings_of(relation: str, templates: Path | None = None) -> tuple[str, ...]:
    """The wordings for a relation, with ``{s}`` where the subject stands; empty where none is.

    Args:
        relation: its name; case, spaces and signs count only where the exact name is missing
            (``birth place`` finds ``birthPlace``).
        templates: a file of templates; None takes the one that is shipped.

    Raises:
        NotFoundError: there is no such file.
        InputError: it holds something else.
    """
    path = templates or SHIPPED
    try:
        version = path.stat().st_mtime_ns
    except OSError:
        raise NotFoundError(f"no such file of templates: {path}") from None
    known = _load(path, version)
    return known.get(relation) or known.get(_squeezed(relation), ())


def _squeezed(relation: str) -> str:
    """No relation of a file is called so: the mark keeps it apart from the exact names."""
    return "\0" + "".join(filter(str.isalnum, relation.casefold()))


@functools.lru_cache(maxsize=4)
def _load(path: Path, version: int) -> dict[str, tuple[str, ...]]:
    known: dict[str, tuple[str, ...]] = {}
    squeezed: dict[str, list[str]] = {}
    source = JsonLines(path)
    for number, line in source.rows():
        try:
            row = source.record(line)
        except RowError as error:
            raise InputError(f"{path}:{number}: {error}") from None
        relation, wordings = row.get("relation"), row.get("wordings")
        if not (isinstance(relation, str) and relation.strip() and _are_wordings(wordings)):
            raise InputError(
                f'{path}:{number}: expected {{"relation": text, "wordings": [texts]}}, '
                "each wording with one {s}"
            )
        assert isinstance(wordings, list)
        known[relation] = tuple(dict.fromkeys([*known.get(relation, ()), *wordings]))
        squeezed.setdefault(_squeezed(relation), []).append(relation)
    for key, relations in squeezed.items():
        if len(set(relations)) == 1:
            known[key] = known[relations[0]]
    return known


def _are_wordings(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(text, str) and text.count("{s}") == 1 for text in value)
    )
