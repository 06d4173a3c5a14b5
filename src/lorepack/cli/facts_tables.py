"""How facts, and what was counted of them, look on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import click

from lorepack.cli.console import table

if TYPE_CHECKING:
    from lorepack.facts import Fact
    from lorepack.facts.looking import Statistics

_WIDE = 200  # facts whose widths say how wide the columns are
_ROWS = 20
_COLUMNS = ("id", "question", "answer", "relation")
_QUANTILES = {"0": "least", "0.5": "median", "1": "most"}
_LEAST = {"id": 16, "question": 24, "answer": 12, "relation": 8}


def show_facts(rows: Iterable[tuple[int, Fact]], width: int) -> int:
    """Print a line a fact, as wide as the terminal; returns how many."""
    stream = iter(rows)
    head = list(islice(stream, _WIDE))
    widths = _widths([fact for _, fact in head], width)
    if head:
        click.echo(_line({name: name for name in widths}, widths))
    count = 0
    for count, (_, fact) in enumerate(chain(head, stream), 1):  # noqa: B007 - it is the count
        click.echo(_line({name: getattr(fact, name) for name in widths}, widths))
    return count


def _widths(facts: list[Fact], width: int) -> dict[str, int]:
    """How wide each column is: as needed while there is room, then what is long gives way."""
    from rich.cells import cell_len

    widths = {}
    for name in _COLUMNS:
        needed = max((cell_len(_plain(getattr(fact, name))) for fact in facts), default=0)
        if needed:
            widths[name] = max(needed, len(name))
    room = width - 2 * (len(widths) - 1)
    while sum(widths.values()) > room:
        loose = {name: size for name, size in widths.items() if size > _LEAST[name]}
        if not loose:
            break
        widest = max(loose, key=lambda name: loose[name])
        widths[widest] -= 1
    return widths


def _line(cells: dict[str, Any], widths: dict[str, int]) -> str:
    from rich.cells import cell_len, set_cell_size

    parts = []
    for name, size in widths.items():
        text = _plain(cells[name])
        if cell_len(text) > size:
            text = set_cell_size(text, size - 1) + "…"
        parts.append(set_cell_size(text, size))
    return "  ".join(parts).rstrip()


def _plain(value: object) -> str:
    """Text on one line; what could steer a terminal is shown as a dot."""
    text = " ".join(str("" if value is None else value).split())
    return text if text.isprintable() else "".join(c if c.isprintable() else "·" for c in text)


def show_fact(line: int, fact: Fact) -> None:
    """Print all fields of a fact."""
    for name, value in {"line": line, **fact.to_json()}.items():
        for one in value if isinstance(value, list) else [value]:
            click.echo(f"{name:<12}{_plain(one)}")
    click.echo()


def show_stats(found: Statistics) -> None:
    """Print what was counted, as tables."""
    distinct = [
        (f"different {name}", ("" if n.exact else "≈") + f"{n.count:,}")
        for name, n in found.distinct.items()
    ]
    more = [("with aliases", found.with_aliases), ("with paraphrases", found.with_paraphrases)]
    _table(f"{_plain(found.file)}: {found.facts:,} facts", ["", "number"], [*distinct, *more])
    _show_relations(found)
    for name, common in found.labels.items():
        _table(f"by {name}" + _about(common.exact), [name, "facts"], common.top)
    _table("most frequent answers" + _about(found.answers.exact), ["answer", "facts"],
           found.answers.top[:10])  # fmt: skip
    lengths = [
        (f"{name}, {unit}", one.least, one.median, f"{one.mean:.1f}", one.high, one.most)
        for name, units in found.lengths.items()
        for unit, one in units.items()
    ]
    _table(f"lengths (a token: {found.tokens})",
           ["", "least", "median", "mean", "95 of 100 up to", "most"], lengths)  # fmt: skip
    _show_popularity(found)
    _show_formats(found)


def _show_relations(found: Statistics) -> None:
    rows = [
        (
            one.relation,
            one.facts,
            one.answers,
            one.top or "–",
            f"{one.top_share:.1%}",
            _bits(one.entropy),
            _bits(one.corrected) if one.enough else "too few facts",
        )
        for one in found.relations[:_ROWS]
    ]
    more = len(found.relations) - len(rows)
    title = "by relation" + (f", the largest; {more:,} more" if more else "")
    columns = ["relation", "facts", "answers", "top answer", "its share", "bits", "corrected"]
    _table(title, columns, rows)


def _show_popularity(found: Statistics) -> None:
    popularity = found.popularity
    if popularity is None:
        return
    rows: list[tuple[str, Any]] = [
        (_QUANTILES.get(q, f"{float(q):.0%} up to"), f"{value:,.6g}")
        for q, value in popularity.quantiles.items()
    ]
    rows += [(f"{name} (a third of the sum)", f"{share:.1%} of the facts")
             for name, share in (popularity.bands or {}).items()]  # fmt: skip
    title = f"popularity of {popularity.facts:,} facts" + _about(popularity.exact)
    _table(title, ["", "value"], rows)


def _show_formats(found: Statistics) -> None:
    rows = [
        (one.relation, one.pattern if len(one.pattern) <= 60 else one.pattern[:59] + "…",
         one.values, _bits(one.bits), _bits(one.most),
         f"{one.total:,.0f}" if one.total is not None else f"not claimed: {one.reason}")
        for one in found.formats
    ]  # fmt: skip
    if rows:
        columns = ["relation", "format", "values", "bits a value", "at most", "bits in all"]
        _table("values of one format", columns, rows)


def _bits(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _about(exact: bool) -> str:
    return "" if exact else " (about: too many to hold)"


def _table(title: str, columns: list[str], rows: Iterable[Iterable[Any]]) -> None:
    """A table whose texts are shown as they are: brackets are no markup."""
    from rich.markup import escape

    def cell(value: Any) -> Any:
        return escape(_plain(value)) if isinstance(value, str) else value

    table(escape(title), columns, [[cell(value) for value in row] for row in rows])
    click.echo()
