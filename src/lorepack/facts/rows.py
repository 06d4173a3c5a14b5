"""From a row of a file to a fact: the types of the fields, and what is wrong with a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lorepack.errors import suggest
from lorepack.facts.fact import COLUMNS, Fact

KNOWN = frozenset(COLUMNS)
LISTS = frozenset({"aliases", "paraphrases"})
Record = Mapping[str, Any]


class RowError(Exception):
    """A row that cannot be read, without the place where it stands.

    ``kind`` sorts it for counting: ``schema_json``, ``schema_encoding``, ``schema_missing``,
    ``schema_type`` or ``schema_cells``.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def clean(record: Record) -> dict[str, Any]:
    """The fields of a fact from a row, checked and trimmed; unknown fields are left out.

    Args:
        record: names and values as the file gives them. None and ``""`` mean "not given".

    Returns:
        Arguments of `Fact`. ``id`` is missing where it is to be derived.

    Raises:
        RowError: a field is missing or has the wrong type.
    """
    fields = {"question": _required(record, "question"), "answer": _required(record, "answer")}
    for name, value in record.items():
        if value is None or value == "":
            continue
        read = _FIELDS.get(name)
        if read is not None:
            fields[name] = read(name, value)
    return fields


def to_fact(record: Record) -> Fact:
    """The fact in a row; see `clean`."""
    return Fact(**clean(record))


def unknown_fields(record: Record) -> list[str]:
    """The names in a row that no fact has, sorted."""
    return [] if record.keys() <= KNOWN else sorted(str(name) for name in record.keys() - KNOWN)


def show_names(names: Iterable[str]) -> str:
    """Names of fields for a message: the first few, on one line whatever they hold."""
    shown = [name[:40] if name.isprintable() else ascii(name[:40]) for name in names]
    return ", ".join(shown[:12]) + (", ..." if shown[12:] else "") or "nothing"


def _required(record: Record, name: str) -> str:
    value = record.get(name)
    if isinstance(value, str):
        text = _text(name, value).strip()
        if text:
            return text
        raise RowError("schema_missing", f"{name!r} is empty; expected some text")
    if value is None:
        near = suggest(name, [key for key in record if key.isprintable()])
        hint = near if near.startswith("; did") else f"; the row has: {show_names(record)}"
        raise RowError("schema_missing", f"no {name!r}{hint}")
    fix = "; keep one answer and put the others into 'aliases'" if isinstance(value, list) else ""
    raise RowError("schema_type", f"{name!r} is {_show(value)}; expected text{fix}")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise RowError("schema_type", f"{name!r} is {_show(value)}; expected text")
    if "\0" in value:
        raise RowError("schema_encoding", f"{name!r} holds a NUL byte; remove it")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise RowError(
                "schema_encoding", f"{name!r} is not valid UTF-8; save the file as UTF-8"
            ) from None
    return value


def _optional_text(name: str, value: Any) -> str | None:
    return _text(name, value).strip() or None


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise RowError("schema_type", f"{name!r} is {_show(value)}; expected a list of texts")
    return tuple([_text(name, item).strip() for item in value])


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RowError("schema_type", f"{name!r} is {_show(value)}; expected a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RowError("schema_type", f"{name!r} is {_show(value)}; expected a finite number")
    return number


def _identity(name: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # databases count their rows
    return _text(name, value).strip()


def _show(value: Any) -> str:
    kinds = {bool: "a truth value", int: "a number", float: "a number", list: "a list"}
    kind = kinds.get(type(value), "an object" if isinstance(value, dict) else type(value).__name__)
    shown = "text" if isinstance(value, str) else kind
    text = ascii(value)
    return f"{shown} ({text if len(text) <= 40 else text[:37] + '...'})"


_FIELDS: dict[str, Callable[[str, Any], Any]] = {
    **dict.fromkeys(LISTS, _texts),
    **dict.fromkeys(("subject", "relation", "object", "domain", "source", "split"), _optional_text),
    "popularity": _number,
    "id": _identity,
}
