"""What data sets write where a fact has a text: lists, lists inside strings, numbers, nothing."""

from __future__ import annotations

import ast
import datetime
import decimal
import io
import itertools
import json
import math
import tokenize
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from lorepack.facts.fact import Fact
from lorepack.facts.rows import RowError, to_fact

LITERAL_LIMIT = 1 << 16
"""characters of a Python list in a string that is looked at"""


def fact(
    question: Any, answers: Any, paraphrases: Any = (), aliases: Any = (), **fields: Any
) -> Fact:
    """A fact from what a data set gives.

    Args:
        question: its own wording; white space at the ends goes away.
        answers: everything that is accepted, the canonical one first (see `texts`).
        paraphrases: other wordings of the question (see `texts`).
        aliases: what is accepted too, but cannot stand for a missing answer.
        fields: other fields of a `Fact`; None where nothing is known.

    Raises:
        RowError: no question, no answer, or a field that cannot be read.
    """
    accepted = distinct(texts(answers, "answer"))
    if not accepted:
        raise RowError("no_answer", "no accepted answer")
    wordings = distinct(texts(paraphrases, "paraphrases"))
    asked = question.strip() if isinstance(question, str) else question
    return to_fact(
        {
            **fields,
            "question": asked,
            "answer": accepted[0],
            "aliases": distinct([*accepted, *texts(aliases, "aliases")])[1:],
            "paraphrases": [wording for wording in wordings if wording != asked],
        }
    )


def texts(value: Any, name: str, depth: int = 3) -> list[str]:
    """The texts in a value, in order: a text, a number, a date, or lists of them; None is none.

    Raises:
        RowError: something else.
    """
    if value is None:
        return []
    if isinstance(value, list | tuple) and depth:
        return [text for item in value for text in texts(item, name, depth - 1)]
    return [plain(value, name)]


def plain(value: Any, name: str) -> str:
    """A text, or a number or date as its text.

    Raises:
        RowError: something else.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal | _DATES):
        raise RowError("schema_type", f"{name!r} is {type(value).__name__}; expected text")
    if isinstance(value, float) and not math.isfinite(value):
        raise RowError("schema_type", f"{name!r} is {value}; expected text")
    try:
        return str(value)
    except ValueError:  # an integer of more digits than Python prints
        raise RowError("schema_type", f"{name!r} is a number of too many digits") from None


_DATES = datetime.date | datetime.time


def distinct(many: Iterable[str]) -> list[str]:
    """Texts without white space at their ends, without empty ones and repeats, in order."""
    return list(dict.fromkeys(text for item in many if (text := item.strip())))


def listed(value: Any, name: str) -> Any:
    """A list of texts where a string holds one, in JSON's or Python's spelling; else the value.

    Raises:
        RowError: it is a list beyond doubt, and cannot be read.
    """
    if not isinstance(value, str):
        return value
    text = value.strip()
    if not _is_quoted_list(text):
        return value  # "[0, 1)" and "[sic]" are answers
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        items = _literal(text)
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise RowError("schema_list", f"{name!r} holds a list that cannot be read ({text[:40]!r})")
    return items


def _is_quoted_list(text: str) -> bool:
    if not (text.startswith("[") and text.endswith("]")):
        return False
    inner = text[1:-1].strip(", \t\r\n")
    return not inner or (inner[0] in "'\"" and inner[-1] in "'\"")


def _literal(text: str) -> Any:
    if len(text) > LITERAL_LIMIT:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd escapes in a text are no concern of the user
        try:
            return None if _has_no_commas(text) else ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError):
            return None


def _has_no_commas(text: str) -> bool:
    """Whether two texts stand side by side, as numpy prints them: Python would make them one."""
    kinds = [t.type for t in tokenize.generate_tokens(io.StringIO(text).readline)]
    kinds = [kind for kind in kinds if kind not in (tokenize.NL, tokenize.COMMENT)]
    return any(a == b == tokenize.STRING for a, b in itertools.pairwise(kinds))


def found(record: Any, name: str) -> Any:
    """The value of a column or key; ``a.b`` is the key ``b`` in ``a``; None where it is missing.

    In a list, the rest of the name is looked up in each element.
    """
    if isinstance(record, list | tuple):
        return [found(item, name) for item in record if isinstance(item, Mapping)]
    if not isinstance(record, Mapping):
        return None
    if name in record:
        return record[name]
    first, dot, rest = name.partition(".")
    return found(record.get(first), rest) if dot else None


def as_record(raw: Any) -> Mapping[str, Any]:
    """A row that must be an object.

    Raises:
        RowError: it is something else.
    """
    if not isinstance(raw, dict):
        raise RowError("schema_json", f"got a JSON {type(raw).__name__}, expected an object")
    return raw
